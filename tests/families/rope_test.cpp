#include "families/rope.h"

#include "checkpoint/hand_made.h"
#include "families/small_config.h"

namespace precis {
namespace {

// Over a context of 64.
RopeSpec rope(const std::string& changes) {
  return spec_of(changed(small_config("LlamaForCausalLM"), changes)).rope;
}

TEST(Rope, DefaultInAllSpellings) {
  EXPECT_EQ(rope("{}").theta, 10000);
  for (const char* spelling : {
           R"({"rope_theta": 500000})",
           R"({"rope_theta": 500000.0, "rope_scaling": null})",
           R"({"rope_theta": 500000, "rope_scaling": {"type": "default"}})",
           R"({"rope_theta": 500000, "rope_scaling": {"rope_type": "default", "type": "default"}})",
           R"({"rope_parameters": {"rope_type": "default", "rope_theta": 500000}})",
           R"({"rope_parameters": {"rope_theta": 500000}})",
           R"({"rope_theta": 500000, "rope_parameters": {"rope_type": "default"}})",
       }) {
    SCOPED_TRACE(spelling);
    EXPECT_EQ(rope(spelling).kind, RopeKind::standard);
    EXPECT_EQ(rope(spelling).theta, 500000);
  }
}

TEST(Rope, LinearInBothSpellings) {
  for (const char* spelling : {
           R"({"rope_theta": 20000, "rope_scaling": {"type": "linear", "factor": 4}})",
           R"({"rope_parameters": {"rope_type": "linear", "rope_theta": 20000, "factor": 4.0}})",
       }) {
    const RopeSpec spec = rope(spelling);
    EXPECT_EQ(spec.kind, RopeKind::linear);
    EXPECT_EQ(spec.factor, 4);
    EXPECT_EQ(spec.theta, 20000);
  }
}

TEST(Rope, Llama3) {
  const RopeSpec spec = rope(R"({"rope_theta": 500000.0, "rope_scaling": {"factor": 32.0, "low_freq_factor": 2.0,
      "high_freq_factor": 5.0, "original_max_position_embeddings": 48, "rope_type": "llama3"}})");
  EXPECT_EQ(spec.kind, RopeKind::llama3);
  EXPECT_EQ(spec.factor, 32);
  EXPECT_EQ(spec.low_freq_factor, 2);
  EXPECT_EQ(spec.high_freq_factor, 5);
  EXPECT_EQ(spec.original_context, 48);
}

TEST(Rope, YarnDefaults) {
  const RopeSpec spec = rope(R"({"rope_scaling": {"type": "yarn", "factor": 4}})");
  EXPECT_EQ(spec.kind, RopeKind::yarn);
  EXPECT_EQ(spec.factor, 4);
  EXPECT_EQ(spec.original_context, 64) << "max_position_embeddings";
  EXPECT_EQ(spec.beta_fast, 32);
  EXPECT_EQ(spec.beta_slow, 1);
  EXPECT_EQ(spec.mscale, 0);
  EXPECT_EQ(spec.mscale_all_dim, 0);
  EXPECT_FALSE(spec.attention_factor.has_value());
  EXPECT_TRUE(spec.truncate);
}

TEST(Rope, YarnWithEverything) {
  const RopeSpec spec = rope(R"({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4,
      "original_max_position_embeddings": 32, "beta_fast": 16, "beta_slow": 2, "mscale": 0.7, "mscale_all_dim": 0.9,
      "attention_factor": 1.25, "truncate": false, "partial_rotary_factor": 1.0, "finetuned": true}})");
  EXPECT_EQ(spec.theta, 1e6);
  EXPECT_EQ(spec.original_context, 32);
  EXPECT_EQ(spec.beta_fast, 16);
  EXPECT_EQ(spec.beta_slow, 2);
  EXPECT_EQ(spec.mscale, 0.7);
  EXPECT_EQ(spec.mscale_all_dim, 0.9);
  EXPECT_EQ(spec.attention_factor, 1.25);
  EXPECT_FALSE(spec.truncate);
}

TEST(Rope, YarnAsTransformersFillsIn) {
  EXPECT_EQ(
      rope(R"({"rope_scaling": {"type": "yarn", "factor": null, "original_max_position_embeddings": 16}})").factor, 4)
      << "from the contexts";
  EXPECT_EQ(rope(R"({"rope_scaling": {"type": "yarn", "factor": 2, "original_max_position_embeddings": 16}})").factor,
            2)
      << "the stated one, whatever the contexts say";
  EXPECT_EQ(rope(R"({"rope_scaling": {"type": "yarn", "factor": 2, "beta_fast": 0, "beta_slow": null}})").beta_fast,
            32);
  EXPECT_EQ(rope(R"({"original_max_position_embeddings": 8,
                     "rope_scaling": {"type": "yarn", "factor": 2, "original_max_position_embeddings": 16}})")
                .original_context,
            8)
      << "the outer one";
}

TEST(Rope, BothSpellingsThatAgree) {
  EXPECT_EQ(
      rope(
          R"({"rope_scaling": {"rope_type": "linear", "factor": 2}, "rope_parameters": {"rope_type": "linear", "factor": 2}})")
          .factor,
      2);
}

TEST(Rope, RefusesWhatIsNotUnderstood) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {R"({"rope_scaling": {"type": "dynamic", "factor": 2}})", "rope_scaling.type: expected default, linear"},
      {R"({"rope_scaling": {"rope_type": "longrope"}})", "rope_scaling.rope_type"},
      {R"({"rope_scaling": {"type": "su"}})", "rope_scaling.type"},
      {R"({"rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}})", "rope_scaling.type"},
      {R"({"rope_parameters": {"rope_type": "foo"}})", "rope_parameters.rope_type: expected default, linear"},
      {R"({"rope_parameters": {"rope_type": 3}})", "rope_parameters.rope_type"},
      {R"({"rope_parameters": "yarn"})", "rope_parameters: expected an object"},
      {R"({"rope_scaling": []})", "rope_scaling: expected an object"},
      {R"({"rope_parameters": {"full_attention": {"rope_theta": 1e6}}})", "rope_parameters.full_attention"},
      {R"({"rope_scaling": {"type": "default", "mrope_section": [16, 24, 24]}})", "rope_scaling.mrope_section"},
      {R"({"rope_scaling": {"type": "linear"}})", "rope_scaling: factor: missing"},
      {R"({"rope_scaling": {"type": "linear", "factor": 0}})", "rope_scaling.factor"},
      {R"({"rope_scaling": {"type": "linear", "factor": -2}})", "rope_scaling.factor"},
      {R"({"rope_scaling": {"type": "linear", "factor": "2"}})", "rope_scaling.factor"},
      {R"({"rope_scaling": {"type": "llama3", "factor": 2, "high_freq_factor": 4}})", "low_freq_factor: missing"},
      {R"({"rope_scaling": {"type": "llama3", "factor": 2, "high_freq_factor": 4, "low_freq_factor": 4}})",
       "rope_scaling.high_freq_factor"},
      {R"({"rope_scaling": {"type": "yarn", "factor": 2, "truncate": 1}})", "rope_scaling.truncate"},
      {R"({"rope_scaling": {"type": "yarn", "factor": 2, "original_max_position_embeddings": 0}})",
       "rope_scaling.original_max_position_embeddings"},
      {R"({"rope_scaling": {"type": "linear", "factor": 2}, "rope_parameters": {"rope_type": "linear", "factor": 4}})",
       "rope_scaling: disagrees with rope_parameters"},
      {R"({"rope_theta": 0})", "rope_theta"},
      {R"({"rope_theta": 1})", "rope_theta"},
      {R"({"rope_theta": -10000})", "rope_theta"},
      {R"({"rope_theta": "10000"})", "rope_theta"},
      {R"({"rope_parameters": {"rope_theta": 0.5}})", "rope_parameters.rope_theta"},
      {R"({"partial_rotary_factor": 0.5})", "partial_rotary_factor: expected 1"},
      {R"({"rope_parameters": {"partial_rotary_factor": 0.25}})", "rope_parameters.partial_rotary_factor: expected 1"},
  };
  for (const auto& [changes, part] : bad) {
    SCOPED_TRACE(changes);
    expect_error([&] { rope(changes); }, {"config.json: ", part});
  }
}

}  // namespace
}  // namespace precis
