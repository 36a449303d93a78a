#include "csv.h"

#include <fmt/format.h>

namespace precis {

namespace {

std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\n\r") == std::string::npos) return field;
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

}  // namespace

std::string csv(const std::vector<CsvRow>& rows) {
  std::string text;
  for (const CsvRow& row : rows) {
    std::vector<std::string> names;
    std::vector<std::string> values;
    for (const auto& [name, value] : row) {
      names.push_back(name);
      values.push_back(quoted(value));
    }
    if (text.empty()) text = fmt::format("{}\n", fmt::join(names, ","));
    text += fmt::format("{}\n", fmt::join(values, ","));
  }
  return text;
}

std::string csv_number(double value) {
  return fmt::format("{:.6g}", value);
}

}  // namespace precis
