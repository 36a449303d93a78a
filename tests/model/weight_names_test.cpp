// The tensors that a model expects against those that real checkpoints hold.
#include "model/weight_names.h"

#include <gtest/gtest.h>

#include <map>

#include "families/families.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

using Shapes = std::map<std::string, std::vector<std::int64_t>>;

Shapes expected_of(const ModelSpec& spec) {
  Shapes shapes;
  for (const ExpectedTensor& tensor : expected_tensors(spec)) {
    EXPECT_TRUE(shapes.emplace(tensor.name, tensor.shape).second) << tensor.name << " is expected twice";
  }
  return shapes;
}

Shapes held_by(const Checkpoint& checkpoint) {
  Shapes shapes;
  for (const std::string& name : checkpoint.names()) shapes[name] = checkpoint.tensor(name).view.shape;
  return shapes;
}

// Where mix_coeff is 0 or 1 one of the two projections has no weight in the blend.
bool may_be_unused(const ModelSpec& spec, const std::string& name) {
  return spec.summary && spec.summary->mix == 0 && name.find("_proj_summary") != std::string::npos;
}

void compare(const std::string& under) {
  const std::vector<std::string> names = folders(under);
  ASSERT_FALSE(names.empty());
  for (const std::string& name : names) {
    SCOPED_TRACE(under + "/" + name);
    const Checkpoint checkpoint(Folder(data_folder() / under / name));
    const ModelSpec spec = read_model_spec(checkpoint);
    const Shapes expected = expected_of(spec);
    const Shapes held = held_by(checkpoint);
    for (const auto& [tensor, shape] : expected) {
      const auto found = held.find(tensor);
      if (found == held.end()) {
        ADD_FAILURE() << tensor << " is expected and not there";
      } else {
        EXPECT_EQ(found->second, shape) << tensor;
      }
    }
    for (const auto& [tensor, shape] : held) {
      EXPECT_TRUE(expected.contains(tensor) || may_be_unused(spec, tensor)) << tensor << " is there and not expected";
    }
  }
}

TEST(WeightNamesTest, KsaCheckpointsHoldWhatIsExpected) {
  ASSERT_GE(folders("ksa-variants").size(), 17U);
  compare("ksa-variants");
}

TEST(WeightNamesTest, FamiliesHoldWhatIsExpected) {
  compare("families");
}

TEST(WeightNamesTest, DemoModelsHoldWhatIsExpected) {
  for (const char* name : {"demo-ksa", "demo-dense"}) {
    SCOPED_TRACE(name);
    const Checkpoint checkpoint(Folder(models_folder() / name));
    EXPECT_EQ(expected_of(read_model_spec(checkpoint)), held_by(checkpoint));
  }
}

ModelSpec one_layer() {
  ModelSpec spec;
  spec.layers = 1;
  spec.hidden = 12;
  spec.ffn = 20;
  spec.heads = 4;
  spec.kv_heads = 2;
  spec.head_dim = 6;
  spec.embeddings = 50;
  spec.vocabulary = 40;
  spec.tied_head = true;
  return spec;
}

TEST(WeightNamesTest, EachSettingAddsItsTensors) {
  const Shapes plain = expected_of(one_layer());
  EXPECT_EQ(plain.size(), 2U + 2U + 4U + 3U);
  const auto added = [&](auto&& change) {
    ModelSpec spec = one_layer();
    change(spec);
    std::vector<std::string> names;
    for (const auto& [name, shape] : expected_of(spec)) {
      if (!plain.contains(name)) names.push_back(name);
    }
    return names;
  };
  const std::string self = "model.layers.0.self_attn.";
  using Names = std::vector<std::string>;
  EXPECT_EQ(added([](ModelSpec& spec) { spec.tied_head = false; }), (Names{"lm_head.weight"}));
  EXPECT_EQ(added([](ModelSpec& spec) { spec.qkv_bias = true; }),
            (Names{self + "k_proj.bias", self + "q_proj.bias", self + "v_proj.bias"}));
  EXPECT_EQ(added([](ModelSpec& spec) { spec.output_bias = true; }), (Names{self + "o_proj.bias"}));
  EXPECT_EQ(added([](ModelSpec& spec) { spec.qk_norm = true; }),
            (Names{self + "k_norm.weight", self + "q_norm.weight"}));
  EXPECT_EQ(added([](ModelSpec& spec) { spec.mlp_bias = true; }).size(), 3U);
  EXPECT_EQ(added([](ModelSpec& spec) { spec.summary.emplace().own_projections = true; }),
            (Names{self + "k_proj_summary.weight", self + "q_proj_summary.weight", self + "v_proj_summary.weight"}));
  EXPECT_EQ(added([](ModelSpec& spec) {
              spec.summary.emplace().own_projections = false;
              spec.summary->own_norm = true;
            }),
            (Names{"model.layers.0.input_layernorm_summary.weight"}));
}

}  // namespace
}  // namespace precis::test
