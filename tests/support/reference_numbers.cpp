#include "support/reference_numbers.h"

#include <algorithm>

#include "base/json.h"
#include "checkpoint/safetensors_file.h"

namespace precis::test {
namespace {

template <typename T>
std::vector<T> numbers(const JsonView& list) {
  std::vector<T> values;
  for (std::size_t i = 0; i < list.size(); ++i) values.push_back(static_cast<T>(list[i].number()));
  return values;
}

ReferenceCase read_case(const JsonView& json) {
  ReferenceCase result;
  result.ids = numbers<std::int32_t>(json.at("ids"));
  result.greedy = numbers<std::int32_t>(json.at("greedy"));
  result.margins = numbers<double>(json.at("margins"));
  return result;
}

std::vector<float> floats(const SafetensorsFile& file, const std::string& name) {
  return to_floats(name, file.find(name)->view);
}

}  // namespace

std::filesystem::path data_folder() {
  return PRECIS_TEST_DATA;
}
std::filesystem::path models_folder() {
  return PRECIS_MODELS;
}

ReferenceCase read_checkpoint_case(const std::filesystem::path& folder) {
  ReferenceCase result = read_case(JsonView::read(folder / "expected.json"));
  const SafetensorsFile file(folder / "expected.safetensors");
  result.name = folder.filename();
  result.logits = floats(file, "logits");
  result.vocabulary = file.find("logits")->view.shape[1];
  result.last = {result.logits.end() - result.vocabulary, result.logits.end()};
  return result;
}

std::vector<ReferenceCase> read_demo_cases(const std::string& name) {
  const SafetensorsFile file(data_folder() / name / "logits.safetensors");
  const JsonView cases = JsonView::read(data_folder() / name / "cases.json").at("cases");
  std::vector<ReferenceCase> results;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    ReferenceCase result = read_case(cases[i]);
    result.name = cases[i].at("name").string();
    result.last = floats(file, result.name + ".last");
    result.nll = floats(file, result.name + ".nll");
    result.vocabulary = static_cast<std::int64_t>(result.last.size());
    results.push_back(std::move(result));
  }
  return results;
}

std::vector<std::string> folders(const std::string& under) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(data_folder() / under)) {
    if (entry.is_directory()) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace precis::test
