// bench/geometries: shapes of models that are measured with random weights.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "families/families.h"
#include "model/weight_names.h"

namespace precis {
namespace {

struct Geometry {
  std::string name;
  std::string family;
  std::int64_t parameters;
  std::int64_t context;
  std::int64_t full_layers;
  LayerRule first;
};

std::int64_t parameters(const ModelSpec& spec) {
  std::int64_t sum = 0;
  for (const ExpectedTensor& tensor : expected_tensors(spec)) {
    std::int64_t count = 1;
    for (const std::int64_t size : tensor.shape) count *= size;
    sum += count;
  }
  return sum;
}

ModelSpec read(const std::string& name) {
  const std::string file = fmt::format("{}/{}/config.json", PRECIS_GEOMETRIES, name);
  return read_model_spec(JsonView::parse(read_text(file, 1 << 16), file));
}

TEST(Geometries, AreWhatTheyAreCalled) {
  const std::vector<Geometry> expected = {
      {"ksa-4b", "ksa", 4'022'470'656, 131'072, 9, {Sight::summary, 128}},
      {"qwen3-0.6b", "qwen3", 596'049'920, 40'960, 28, {}},
      {"qwen3-0.6b-ksa", "ksa", 713'491'456, 40'960, 7, {Sight::summary, 32}},
      {"qwen3-4b", "qwen3", 4'022'468'096, 40'960, 36, {}},
      {"tiny-llama", "llama", 17'308'032, 32'768, 8, {}},
  };
  std::vector<std::string> names;
  for (const Geometry& geometry : expected) {
    SCOPED_TRACE(geometry.name);
    const ModelSpec spec = read(geometry.name);
    EXPECT_EQ(spec.family, geometry.family);
    EXPECT_EQ(parameters(spec), geometry.parameters);
    EXPECT_EQ(spec.context, geometry.context);
    EXPECT_TRUE(spec.tied_head);
    EXPECT_EQ(spec.weights, DType::bf16);
    const auto full = [&](std::int32_t rule) { return spec.rules.at(static_cast<std::size_t>(rule)) == LayerRule{}; };
    EXPECT_EQ(std::count_if(spec.rule_of_layer.begin(), spec.rule_of_layer.end(), full), geometry.full_layers);
    EXPECT_EQ(spec.rules.front(), geometry.first);
    names.push_back(geometry.name);
  }
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(PRECIS_GEOMETRIES)) {
    found.push_back(entry.path().filename().string());
  }
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, names);
}

}  // namespace
}  // namespace precis
