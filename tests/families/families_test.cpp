#include "families/families.h"

#include "checkpoint/hand_made.h"
#include "families/small_config.h"

namespace precis {
namespace {

// "full", "window 16", ... of one layer.
std::string rule(const ModelSpec& spec, std::size_t layer) {
  const LayerRule& rule = spec.rules.at(static_cast<std::size_t>(spec.rule_of_layer.at(layer)));
  if (rule.sight == Sight::full) return "full";
  return fmt::format("{} {}", rule.sight == Sight::window ? "window" : "summary", rule.window);
}

std::vector<std::string> rules(const ModelSpec& spec) {
  std::vector<std::string> all;
  for (std::size_t layer = 0; layer < spec.rule_of_layer.size(); ++layer) all.push_back(rule(spec, layer));
  return all;
}

using Rules = std::vector<std::string>;

TEST(Llama, Biases) {
  const auto base = small_config("LlamaForCausalLM");
  const ModelSpec plain = spec_of(base);
  EXPECT_FALSE(plain.qkv_bias || plain.output_bias || plain.mlp_bias || plain.qk_norm || plain.tied_head);
  const ModelSpec attention = spec_of(changed(base, R"({"attention_bias": true})"));
  EXPECT_TRUE(attention.qkv_bias && attention.output_bias && !attention.mlp_bias);
  const ModelSpec mlp = spec_of(changed(base, R"({"mlp_bias": true})"));
  EXPECT_TRUE(!mlp.qkv_bias && !mlp.output_bias && mlp.mlp_bias);
}

TEST(Llama, DefaultsOfTransformers) {
  auto config = small_config("LlamaForCausalLM");
  for (const char* key : {"head_dim", "num_key_value_heads", "torch_dtype"}) config.erase(key);
  const ModelSpec spec = spec_of(config);
  EXPECT_EQ(spec.head_dim, 4);
  EXPECT_EQ(spec.kv_heads, 2);
  EXPECT_EQ(spec.weights, DType::f32);
  EXPECT_FLOAT_EQ(spec.epsilon, 1e-6F);
  EXPECT_EQ(spec.vocabulary, 16);
  EXPECT_EQ(spec.embeddings, 16);
  EXPECT_TRUE(spec.end_ids.empty());
  EXPECT_FALSE(spec.begin_id.has_value());
  EXPECT_EQ(rules(spec), (Rules{"full", "full"}));
  EXPECT_EQ(spec_of(changed(config, R"({"head_dim": null, "num_key_value_heads": null})")).head_dim, 4);
}

TEST(Common, ElementTypeInBothSpellings) {
  const auto base = small_config("LlamaForCausalLM");
  EXPECT_EQ(spec_of(base).weights, DType::bf16);
  EXPECT_EQ(spec_of(changed(base, R"({"torch_dtype": "float16"})")).weights, DType::f16);
  EXPECT_EQ(spec_of(changed(base, R"({"dtype": "float32"})")).weights, DType::f32);
  EXPECT_EQ(spec_of(changed(base, R"({"dtype": "torch.bfloat16"})")).weights, DType::bf16);
}

TEST(Common, BoundaryIds) {
  const auto base = small_config("LlamaForCausalLM");
  const ModelSpec one = spec_of(changed(base, R"({"bos_token_id": 1, "eos_token_id": 2})"));
  EXPECT_EQ(one.begin_id, 1);
  EXPECT_EQ(one.end_ids, std::vector<std::int32_t>{2});
  const ModelSpec many = spec_of(changed(base, R"({"eos_token_id": [2, 5, 9]})"));
  EXPECT_EQ(many.end_ids, (std::vector<std::int32_t>{2, 5, 9}));
  EXPECT_FALSE(spec_of(changed(base, R"({"bos_token_id": 16})")).begin_id.has_value()) << "no such row";
}

TEST(Common, EitherNameOfTheFamilyIsEnough) {
  auto config = small_config("MistralForCausalLM");
  EXPECT_EQ(spec_of(config).family, "mistral");
  config["model_type"] = "mistral";
  EXPECT_EQ(spec_of(config).family, "mistral");
  config.erase("architectures");
  EXPECT_EQ(spec_of(config).family, "mistral");
}

TEST(Mistral, Window) {
  auto config = small_config("MistralForCausalLM");
  EXPECT_EQ(rules(spec_of(config)), (Rules{"full", "full"}));
  config["sliding_window"] = 16;
  EXPECT_EQ(rules(spec_of(config)), (Rules{"window 16", "window 16"}));
  config.erase("sliding_window");
  EXPECT_EQ(rules(spec_of(config)), (Rules{"window 4096", "window 4096"})) << "as transformers";
}

TEST(Qwen2, BiasesAndWindows) {
  auto config = changed(small_config("Qwen2ForCausalLM"), R"({"num_hidden_layers": 3})");
  const ModelSpec spec = spec_of(config);
  EXPECT_TRUE(spec.qkv_bias && !spec.output_bias && !spec.qk_norm);
  EXPECT_EQ(rules(spec), (Rules{"full", "full", "full"}));
  const std::string window = R"({"sliding_window": 8, "max_window_layers": 1, "use_sliding_window": )";
  EXPECT_EQ(rules(spec_of(changed(config, window + "false}"))), (Rules{"full", "full", "full"}));
  EXPECT_EQ(rules(spec_of(changed(config, window + "true}"))), (Rules{"full", "window 8", "window 8"}));
  EXPECT_EQ(rules(spec_of(changed(config, R"({"use_sliding_window": true, "sliding_window": null})"))),
            (Rules{"full", "full", "full"}));
  EXPECT_EQ(rules(spec_of(changed(config, R"({"use_sliding_window": true, "max_window_layers": 2})"))),
            (Rules{"full", "full", "window 4096"}));
  EXPECT_EQ(rules(spec_of(changed(config, R"({"use_sliding_window": true})"))), (Rules{"full", "full", "full"}))
      << "from layer 28 on";
  EXPECT_EQ(rules(spec_of(changed(config, R"({"use_sliding_window": true, "sliding_window": 8, "layer_types":
                ["sliding_attention", "full_attention", "sliding_attention"]})"))),
            (Rules{"window 8", "full", "window 8"}))
      << "the list decides";
}

TEST(Qwen3, NormsAndBiases) {
  auto config = small_config("Qwen3ForCausalLM");
  const ModelSpec plain = spec_of(config);
  EXPECT_EQ(plain.family, "qwen3");
  EXPECT_TRUE(plain.qk_norm && !plain.qkv_bias && !plain.output_bias);
  const ModelSpec biased = spec_of(changed(config, R"({"attention_bias": true})"));
  EXPECT_TRUE(biased.qkv_bias && biased.output_bias);
  config.erase("head_dim");
  EXPECT_EQ(spec_of(config).head_dim, 128) << "as transformers";
}

TEST(Qwen3, SummariesSwitchedOffAreIdle) {
  const ModelSpec spec = spec_of(changed(small_config("ksa"), R"({"use_summary_attention": false,
      "truncate_predict_nums": null})"));
  EXPECT_EQ(spec.family, "qwen3");
  EXPECT_FALSE(spec.summary.has_value());
  EXPECT_FALSE(spec.chunk.any());
}

TEST(Ksa, EveryField) {
  const ModelSpec spec = spec_of(changed(small_config("ksa"), R"({"model_type": "qwen3", "summary_token_num": 3,
      "summary_token_begin": 13, "truncate_predict_nums": 12, "mix_coeff": 0.25,
      "summary_independent_attention_layernorm": true, "summary_chunk_position_ids_type": "inner_chunk",
      "summary_token_position_ids_type": "last_chunk_slice_left", "summary_layer_freq": "[1]*2"})"));
  EXPECT_EQ(spec.family, "ksa");
  EXPECT_TRUE(spec.qk_norm);
  EXPECT_EQ(spec.chunk.text, 4);
  EXPECT_EQ(spec.chunk.summary, 3);
  EXPECT_EQ(spec.embeddings, 16);
  EXPECT_EQ(spec.vocabulary, 12);
  EXPECT_EQ(spec.summary->first_id, 13);
  EXPECT_TRUE(spec.summary->own_projections && spec.summary->own_norm);
  EXPECT_EQ(spec.summary->mix, 0.25F);
  EXPECT_EQ(spec.summary->text_positions, TextPositions::inner_chunk);
  EXPECT_EQ(spec.summary->summary_positions, SummaryPositions::slice_left);
  EXPECT_EQ(rules(spec), (Rules{"summary 1", "full"}));
}

TEST(Ksa, TheSmallestWindowReadsSummaries) {
  auto config = changed(small_config("ksa"), R"({"num_hidden_layers": 4})");
  const auto with = [&](const std::string& windows) {
    return rules(spec_of(changed(config, R"({"summary_sliding_chunk_num": )" + windows + "}")));
  };
  EXPECT_EQ(with("3"), (Rules{"summary 3", "summary 3", "summary 3", "summary 3"})) << "all equal";
  EXPECT_EQ(with("[64, 2, 2, 2]"), (Rules{"full", "summary 2", "summary 2", "summary 2"}));
  EXPECT_EQ(with("[2, 3, 64, 2]"), (Rules{"summary 2", "full", "full", "summary 2"}));
  EXPECT_EQ(with("\"[0]*4\""), (Rules{"summary 0", "summary 0", "summary 0", "summary 0"}));
}

TEST(Ksa, OwnProjectionsOnlyWhereTheyCount) {
  const auto with = [&](const std::string& changes) {
    return spec_of(changed(small_config("ksa"), changes)).summary->own_projections;
  };
  EXPECT_TRUE(with("{}"));
  EXPECT_TRUE(with(R"({"mix_coeff": 0.001})"));
  EXPECT_FALSE(with(R"({"mix_coeff": 0})"));
  EXPECT_FALSE(with(R"({"summary_independent_parameters": false})"));
  EXPECT_FALSE(with(R"({"summary_independent_parameters": false, "mix_coeff": null})"));
  EXPECT_FALSE(with(R"({"summary_independent_qkv": false})"));
  EXPECT_TRUE(with(R"({"summary_independent_qkv": null})"));
}

TEST(Ksa, RowsAndVocabulary) {
  const auto with = [&](const std::string& changes) { return spec_of(changed(small_config("ksa"), changes)); };
  EXPECT_EQ(with(R"({"vocab_size": 15})").embeddings, 16) << "room for the summary token";
  EXPECT_EQ(with(R"({"vocab_size": 40})").embeddings, 40);
  EXPECT_EQ(with(R"({"vocab_size": 15, "summary_token_num": 4})").embeddings, 19);
  EXPECT_EQ(with(R"({"truncate_predict_nums": null})").vocabulary, 16) << "min(151936, rows)";
  EXPECT_EQ(with(R"({"vocab_size": 200000, "truncate_predict_nums": null})").vocabulary, 151936);
  EXPECT_EQ(with(R"({"truncate_predict_nums": 100})").vocabulary, 16);
}

struct BadConfig {
  std::string family;
  std::string changes;
  std::string part;  // of the message, behind "config.json: "
};

void expect_refused(const std::vector<BadConfig>& configs) {
  for (const BadConfig& bad : configs) {
    SCOPED_TRACE(bad.family + " " + bad.changes);
    expect_error([&] { spec_of(changed(small_config(bad.family), bad.changes)); }, {"config.json: ", bad.part});
  }
}

const std::string llama = "LlamaForCausalLM";
const std::string mistral = "MistralForCausalLM";
const std::string qwen2 = "Qwen2ForCausalLM";
const std::string qwen3 = "Qwen3ForCausalLM";

TEST(BadConfigs, OfNoKnownFamily) {
  expect_refused({{llama, R"({"architectures": ["GPT2LMHeadModel"]})", "architectures[0]"},
                  {llama, R"({"architectures": ["Qwen3Model"]})", "architectures[0]"},
                  {llama, R"({"architectures": []})", "architectures"},
                  {llama, R"({"architectures": "LlamaForCausalLM"})", "architectures"},
                  {llama, R"({"architectures": [3]})", "architectures[0]"},
                  {llama, R"({"architectures": null})", "architectures: missing"},
                  {llama, R"({"model_type": "qwen2"})", "model_type: expected llama"},
                  {llama, R"({"model_type": "gemma"})", "model_type"},
                  {llama, R"({"model_type": 3})", "model_type"},
                  {llama, R"({"use_summary_attention": true})", "use_summary_attention"},
                  {qwen3, R"({"use_summary_attention": 1})", "use_summary_attention"}});
}

TEST(BadConfigs, WithBadSizes) {
  expect_refused({{llama, R"({"hidden_size": null})", "hidden_size: missing"},
                  {llama, R"({"hidden_size": "8"})", "hidden_size"},
                  {llama, R"({"hidden_size": 0})", "hidden_size"},
                  {llama, R"({"hidden_size": -8})", "hidden_size"},
                  {llama, R"({"hidden_size": 1e300})", "hidden_size"},
                  {llama, R"({"hidden_size": 9223372036854775807})", "hidden_size"},
                  {llama, R"({"hidden_size": 18446744073709551615})", "hidden_size"},
                  {llama, R"({"hidden_size": [8]})", "hidden_size"},
                  {llama, R"({"intermediate_size": 0})", "intermediate_size"},
                  {llama, R"({"num_hidden_layers": 0})", "num_hidden_layers"},
                  {llama, R"({"num_hidden_layers": 4097})", "num_hidden_layers"},
                  {llama, R"({"num_hidden_layers": 1.5})", "num_hidden_layers"},
                  {llama, R"({"num_attention_heads": 0})", "num_attention_heads"},
                  {llama, R"({"num_attention_heads": 3, "head_dim": null})", "hidden_size: 8 is not"},
                  {llama, R"({"num_attention_heads": 3, "num_key_value_heads": 2})", "num_attention_heads"},
                  {llama, R"({"num_attention_heads": 16777216})", "num_attention_heads"},
                  {llama, R"({"num_key_value_heads": 0})", "num_key_value_heads"},
                  {llama, R"({"num_key_value_heads": 4})", "num_attention_heads"},
                  {llama, R"({"head_dim": 0})", "head_dim"},
                  {llama, R"({"head_dim": 5})", "head_dim"},
                  {llama, R"({"vocab_size": 0})", "vocab_size"},
                  {llama, R"({"vocab_size": true})", "vocab_size"},
                  {llama, R"({"max_position_embeddings": 0})", "max_position_embeddings"},
                  {llama, R"({"max_position_embeddings": null})", "max_position_embeddings: missing"},
                  {llama, R"({"rms_norm_eps": 0})", "rms_norm_eps"},
                  {llama, R"({"rms_norm_eps": "1e-6"})", "rms_norm_eps"}});
}

TEST(BadConfigs, WithBadSettings) {
  expect_refused({{llama, R"({"hidden_act": "gelu"})", "hidden_act: expected silu"},
                  {llama, R"({"hidden_act": 3})", "hidden_act"},
                  {llama, R"({"torch_dtype": "int8"})", "torch_dtype"},
                  {llama, R"({"dtype": {"text": "bfloat16"}})", "dtype"},
                  {llama, R"({"tie_word_embeddings": "yes"})", "tie_word_embeddings"},
                  {llama, R"({"attention_bias": 1})", "attention_bias"},
                  {llama, R"({"eos_token_id": "</s>"})", "eos_token_id"},
                  {llama, R"({"eos_token_id": -1})", "eos_token_id"},
                  {llama, R"({"eos_token_id": [1, null]})", "eos_token_id[1]"},
                  {llama, R"({"bos_token_id": 1.5})", "bos_token_id"},
                  {mistral, R"({"sliding_window": 0})", "sliding_window"},
                  {mistral, R"({"sliding_window": "4096"})", "sliding_window"},
                  {mistral, R"({"layer_types": ["full_attention", "full_attention"]})", "layer_types"},
                  {qwen2, R"({"layer_types": ["full_attention"]})", "layer_types"},
                  {qwen2, R"({"layer_types": "full_attention"})", "layer_types"},
                  {qwen2, R"({"layer_types": ["full_attention", "linear_attention"]})", "layer_types[1]"},
                  {qwen2, R"({"layer_types": ["full_attention", "sliding_attention"]})", "layer_types[1]"},
                  {qwen2, R"({"use_sliding_window": true, "sliding_window": 0})", "sliding_window"},
                  {qwen2, R"({"use_sliding_window": "yes"})", "use_sliding_window"}});
}

TEST(BadConfigs, WithUnknownFields) {
  expect_refused({{llama, R"({"quantization_config": {"quant_method": "gptq"}})", "quantization_config"},
                  {llama, R"({"quantization": {"bits": 4}})", "quantization"},
                  {llama, R"({"final_logit_softcapping": 30.0})", "final_logit_softcapping"},
                  {llama, R"({"attn_logit_softcapping": 50.0})", "attn_logit_softcapping"},
                  {llama, R"({"query_pre_attn_scalar": 256})", "query_pre_attn_scalar"},
                  {llama, R"({"logit_scale": 0.0625})", "logit_scale"},
                  {llama, R"({"attention_multiplier": 0.015})", "attention_multiplier"},
                  {llama, R"({"residual_multiplier": 0.22})", "residual_multiplier"},
                  {llama, R"({"embedding_multiplier": 12})", "embedding_multiplier"},
                  {llama, R"({"num_local_experts": 8})", "num_local_experts"},
                  {llama, R"({"attn_temperature_tuning": true})", "attn_temperature_tuning"},
                  {llama, R"({"use_qk_norm": true})", "use_qk_norm"},
                  {llama, R"({"no_rope_layers": [1, 0]})", "no_rope_layers"},
                  {llama, R"({"sliding_window": 4096})", "sliding_window"},
                  {llama, R"({"rope_interleaved": true})", "rope_interleaved"},
                  {qwen2, R"({"dual_chunk_attention_config": {"chunk_size": 8}})", "dual_chunk_attention"},
                  {qwen2, R"({"use_mrope": true})", "use_mrope"},
                  {qwen3, R"({"summary_chunk_size": 8})", "summary_chunk_size"},
                  {llama, R"({"made\nup": 1})", "made?up: not known to Precis"}});
}

TEST(BadConfigs, WithBadSummaries) {
  expect_refused({{"ksa", R"({"summary_chunk_size": 0})", "summary_chunk_size"},
                  {"ksa", R"({"summary_chunk_size": null})", "summary_chunk_size: missing"},
                  {"ksa", R"({"summary_token_num": 0})", "summary_token_num"},
                  {"ksa", R"({"summary_token_num": 5})", "summary_token_num"},
                  {"ksa", R"({"summary_token_begin": -1})", "summary_token_begin"},
                  {"ksa", R"({"summary_token_begin": null})", "summary_token_begin: missing"},
                  {"ksa", R"({"truncate_predict_nums": 0})", "truncate_predict_nums"},
                  {"ksa", R"({"mix_coeff": 1.5})", "mix_coeff"},
                  {"ksa", R"({"mix_coeff": -0.1})", "mix_coeff"},
                  {"ksa", R"({"mix_coeff": null})", "mix_coeff: missing"},
                  {"ksa", R"({"summary_independent_parameters": null})", "summary_independent_parameters"},
                  {"ksa", R"({"summary_independent_qk_norm": true})", "summary_independent_qk_norm"},
                  {"ksa", R"({"summary_chunk_position_ids_type": "zeros"})", "summary_chunk_position_ids"},
                  {"ksa", R"({"summary_token_position_ids_type": "left"})", "summary_token_position_ids"},
                  {"ksa", R"({"summary_token_position_ids_type": null})", "summary_token_position_ids"},
                  {"ksa", R"({"summary_sliding_chunk_num": null})", "summary_sliding_chunk_num: missing"},
                  {"ksa", R"({"summary_sliding_chunk_num": "[1]*3"})", "summary_sliding_chunk_num"},
                  {"ksa", R"({"summary_layer_freq": 0})", "summary_layer_freq: expected 1"},
                  {"ksa", R"({"summary_layer_freq": "[1]+[0]"})", "summary_layer_freq: expected 1"},
                  {"ksa", R"({"summary_layer_freq": 2})", "summary_layer_freq: expected 1"},
                  {"ksa", R"({"summary_layer_freq": "[1]*3"})", "summary_layer_freq"},
                  {"ksa", R"({"summary_made_up": 3})", "summary_made_up: not known"},
                  {"ksa", R"({"attention_bias": true})", "attention_bias"},
                  {"ksa", R"({"use_sliding_window": true})", "use_sliding_window"},
                  {"ksa", R"({"layer_types": ["full_attention", "sliding_attention"]})", "layer_types[1]"}});
}

}  // namespace
}  // namespace precis
