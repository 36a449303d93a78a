#include "bench_output.h"

#include <fmt/format.h>

#include "precis/units.h"

namespace precis {

using Json = nlohmann::ordered_json;

namespace {

constexpr double giga = 1e9;

// A field of a CSV file: quoted where a comma or a quote would split it.
std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\n\r") == std::string::npos) return field;
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

}  // namespace

std::string markdown_row(const std::vector<std::string>& cells) {
  return fmt::format("| {} |\n", fmt::join(cells, " | "));
}

std::string shown_parameters(std::int64_t count) {
  const auto value = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.2f} B", value / giga);
  return fmt::format("{:.1f} M", value / 1e6);
}

std::string shown_share(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

std::string shown_kv(std::int64_t bytes, std::int64_t far_bytes) {
  const auto shown = [](std::int64_t count) { return shown_bytes(static_cast<double>(count)); };
  if (far_bytes == 0) return shown(bytes);
  return fmt::format("{} (device {}, far {})", shown(bytes), shown(bytes - far_bytes), shown(far_bytes));
}

std::string shown_machine(const BenchReport& report) {
  return fmt::format(
      "{}{}: at best, memory is read at {:.1f} GB/s (before) and {:.1f} GB/s (after), and multiply-adds reach {:.1f} "
      "and {:.1f} GFLOP/s.",
      report.options.model.string(), report.options.dummy_weights ? ", random weights" : "",
      report.before.read_bandwidth / giga, report.after.read_bandwidth / giga, report.before.peak_flops / giga,
      report.after.peak_flops / giga);
}

std::string csv(const std::vector<CsvRow>& rows) {
  std::string text;
  for (const CsvRow& row : rows) {
    std::vector<std::string> names;
    std::vector<std::string> values;
    for (const auto& [name, value] : row) {
      names.push_back(name);
      values.push_back(value);
    }
    if (text.empty()) text = fmt::format("{}\n", fmt::join(names, ","));
    text += fmt::format("{}\n", fmt::join(values, ","));
  }
  return text;
}

std::string csv_number(double value) {
  return fmt::format("{:.6g}", value);
}

CsvRow csv_model(const BenchReport& report) {
  return {{"model", quoted(report.options.model.string())},
          {"dummy", report.options.dummy_weights ? "1" : "0"},
          {"family", report.model.family},
          {"parameters", fmt::to_string(report.model.parameters)},
          {"weight_bytes", fmt::to_string(report.weight_bytes)},
          {"device", quoted(report.device)},
          {"compute", report.options.compute},
          {"piece", fmt::to_string(report.options.piece)}};
}

CsvRow csv_machine(const BenchReport& report) {
  return {{"read_bandwidth_gbs_before", csv_number(report.before.read_bandwidth / giga)},
          {"read_bandwidth_gbs_after", csv_number(report.after.read_bandwidth / giga)},
          {"peak_gflops", csv_number(report.peak_flops() / giga)}};
}

Json bench_json_head(const BenchReport& report) {
  return {{"model", report.options.model.string()},
          {"dummy", report.options.dummy_weights},
          {"family", report.model.family},
          {"parameters", report.model.parameters},
          {"weight_bytes", report.weight_bytes},
          {"device", report.device},
          {"compute", report.options.compute},
          {"kv_cache_dtype", report.options.kv_cache_dtype},
          {"deterministic", report.options.deterministic},
          {"piece", report.options.piece},
          {"read_bandwidth_gbs",
           {{"before", report.before.read_bandwidth / giga}, {"after", report.after.read_bandwidth / giga}}},
          {"peak_gflops", report.peak_flops() / giga},
          {"peak_gflops_measured",
           {{"before", report.before.peak_flops / giga}, {"after", report.after.peak_flops / giga}}}};
}

Json giga_of(const std::vector<double>& values) {
  Json shown = Json::array();
  for (const double value : values) shown.push_back(value / giga);
  return shown;
}

std::string json_line(const Json& object) {
  return object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace precis
