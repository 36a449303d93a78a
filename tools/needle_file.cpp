// Documents and questions that somebody else has made: read_documents.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "input.h"
#include "needle_document.h"
#include "numbers.h"

namespace precis {

namespace {

using Json = nlohmann::json;

constexpr const char* kFlag = "--needle-file";

// One case of the list, its fields checked.
class CaseReader {
 public:
  CaseReader(const std::string& path, std::size_t index, const Json& value)
      : path_(path), index_(index), value_(value) {
    if (!value.is_object()) refuse("", value, "an object");
    for (const auto& [name, field] : value.items()) {
      if (name != "file" && name != "question" && name != "answers" && name != "depth") {
        refuse("." + name, field, "file, question, answers and depth");
      }
    }
  }

  std::string text(const char* name) const { return text_of(std::string(".") + name, field(name)); }
  std::vector<std::string> texts(const char* name) const;
  double share(const char* name) const;

 private:
  const Json& field(const char* name) const {
    const auto found = value_.find(name);
    if (found == value_.end()) {
      throw std::runtime_error(fmt::format("{}: {}: [{}].{}: missing", kFlag, path_, index_, name));
    }
    return *found;
  }
  std::string text_of(const std::string& place, const Json& value) const {
    if (!value.is_string() || value.get_ref<const std::string&>().empty()) refuse(place, value, "a text");
    return value.get<std::string>();
  }
  [[noreturn]] void refuse(const std::string& place, const Json& value, const std::string& expected) const {
    throw std::runtime_error(fmt::format("{}: {}: [{}]{}: {} found, {} expected", kFlag, path_, index_, place,
                                         shown_text(value.dump(-1, ' ', false, Json::error_handler_t::replace)),
                                         expected));
  }

  const std::string& path_;
  std::size_t index_;
  const Json& value_;
};

std::vector<std::string> CaseReader::texts(const char* name) const {
  const Json& list = field(name);
  if (!list.is_array() || list.empty()) refuse(std::string(".") + name, list, "a list of texts");
  std::vector<std::string> texts;
  for (const Json& item : list) texts.push_back(text_of(fmt::format(".{}[{}]", name, texts.size()), item));
  return texts;
}

double CaseReader::share(const char* name) const {
  const Json& value = field(name);
  const double number = value.is_number() ? value.get<double>() : -1;
  if (!(number >= 0 && number <= 1)) refuse(std::string(".") + name, value, "a number from 0 to 1");
  return number;
}

// The power of two that is nearest, by their ratio.
std::int64_t nearest_power(std::int64_t tokens) {
  return std::int64_t{1} << std::llround(std::log2(static_cast<double>(tokens)));
}

}  // namespace

std::vector<NeedleDocument> read_documents(const std::string& path, const TextCodec& codec, const ChatForm& form) {
  Json list;
  try {
    list = Json::parse(read_input(kFlag, path));
  } catch (const Json::exception& error) {
    throw std::runtime_error(fmt::format("{}: {}: {}", kFlag, path, error.what()));
  }
  if (!list.is_array() || list.empty()) {
    throw std::runtime_error(fmt::format("{}: {}: a list of cases expected, {} found", kFlag, path,
                                         list.is_array() ? "an empty one" : list.type_name()));
  }
  const std::filesystem::path folder = path == "-" ? "." : std::filesystem::path(path).parent_path();
  std::vector<NeedleDocument> documents;
  for (std::size_t index = 0; index < list.size(); ++index) {
    const CaseReader reader(path, index, list[index]);
    NeedleDocument document;
    document.file = reader.text("file");
    const double depth = std::round(10'000 * reader.share("depth")) / 100;  // as it was typed, in percent
    NeedleQuestion question{reader.text("question"), {}};
    for (std::string& answer : reader.texts("answers")) question.answers.push_back({std::move(answer), depth, depth});
    document.questions.push_back(std::move(question));
    document.text = read_input(kFlag, (folder / document.file).string());
    document.tokens = form.tokens(codec, document.text, document.questions);
    document.length = nearest_power(document.tokens);
    documents.push_back(std::move(document));
  }
  return documents;
}

}  // namespace precis
