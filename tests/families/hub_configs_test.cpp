// Configurations as they are published, written from memory: all their keys must be understood.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "families/families.h"

namespace precis {
namespace {

ModelSpec spec_of(const char* config) {
  return read_model_spec(JsonView::parse(config, "config.json"));
}

TEST(HubConfigs, Llama2) {
  const ModelSpec spec = spec_of(R"({"_name_or_path": "meta-llama/Llama-2-7b-hf", "architectures": ["LlamaForCausalLM"],
    "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
    "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "llama", "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 32, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": null, "tie_word_embeddings": false, "torch_dtype": "float16",
    "transformers_version": "4.31.0.dev0", "use_cache": true, "vocab_size": 32000})");
  EXPECT_EQ(spec.head_dim, 128);
  EXPECT_EQ(spec.weights, DType::f16);
  EXPECT_FLOAT_EQ(spec.epsilon, 1e-5F);
}

TEST(HubConfigs, Llama31And32) {
  const ModelSpec large = spec_of(R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false,
    "attention_dropout": 0.0, "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu",
    "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 131072,
    "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 8.0,
    "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
    "rope_type": "llama3"}, "rope_theta": 500000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    "transformers_version": "4.42.3", "use_cache": true, "vocab_size": 128256})");
  EXPECT_EQ(large.end_ids.size(), 3U);
  EXPECT_EQ(large.rope.kind, RopeKind::llama3);
  const ModelSpec small = spec_of(R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false,
    "attention_dropout": 0.0, "bos_token_id": 128000, "eos_token_id": 128001, "head_dim": 64, "hidden_act": "silu",
    "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 131072,
    "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16,
    "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 32.0,
    "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
    "rope_type": "llama3"}, "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
    "transformers_version": "4.45.0.dev0", "use_cache": true, "vocab_size": 128256})");
  EXPECT_EQ(small.head_dim, 64);
  EXPECT_TRUE(small.tied_head);
}

TEST(HubConfigs, LlamasRelatives) {
  const ModelSpec tiny = spec_of(R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 1,
    "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
    "intermediate_size": 5632, "max_position_embeddings": 2048, "model_type": "llama", "num_attention_heads": 32,
    "num_hidden_layers": 22, "num_key_value_heads": 4, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": null, "rope_theta": 10000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    "transformers_version": "4.35.0", "use_cache": true, "vocab_size": 32000})");
  EXPECT_EQ(tiny.kv_heads, 4);
  const ModelSpec smol = spec_of(R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false,
    "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576,
    "initializer_range": 0.041666666666666664, "intermediate_size": 1536, "is_llama_config": true,
    "max_position_embeddings": 8192, "mlp_bias": false, "model_type": "llama", "num_attention_heads": 9,
    "num_hidden_layers": 30, "num_key_value_heads": 3, "pad_token_id": 2, "pretraining_tp": 1,
    "rms_norm_eps": 1e-05, "rope_interleaved": false, "rope_scaling": null, "rope_theta": 100000,
    "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers.js_config": {"kv_cache_dtype":
    {"q4f16": "float16", "fp16": "float16"}}, "transformers_version": "4.42.3", "use_cache": true,
    "vocab_size": 49152})");
  EXPECT_EQ(smol.head_dim, 64);
  const ModelSpec yi = spec_of(R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 1,
    "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
    "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "llama", "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 4, "pad_token_id": 0, "pretraining_tp": 1,
    "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 5000000.0, "tie_word_embeddings": false,
    "torch_dtype": "bfloat16", "transformers_version": "4.34.0", "use_cache": true, "vocab_size": 64000})");
  EXPECT_EQ(yi.rope.theta, 5e6);
}

TEST(HubConfigs, Mistral) {
  const ModelSpec first = spec_of(R"({"architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
    "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
    "max_position_embeddings": 32768, "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096,
    "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.34.0.dev0",
    "use_cache": true, "vocab_size": 32000})");
  EXPECT_EQ(first.rules, (std::vector<LayerRule>{{Sight::window, 4096}}));
  const ModelSpec third = spec_of(R"({"architectures": ["MistralForCausalLM"], "attention_dropout": 0.0,
    "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
    "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
    "rope_theta": 1000000.0, "sliding_window": null, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    "transformers_version": "4.42.0.dev0", "use_cache": true, "vocab_size": 32768})");
  EXPECT_EQ(third.rules, std::vector<LayerRule>{LayerRule{}});
  const ModelSpec nemo = spec_of(R"({"architectures": ["MistralForCausalLM"], "attention_dropout": 0.0,
    "bos_token_id": 1, "eos_token_id": 2, "head_dim": 128, "hidden_act": "silu", "hidden_size": 5120,
    "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 131072,
    "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": null, "tie_word_embeddings": false,
    "torch_dtype": "bfloat16", "transformers_version": "4.43.0.dev0", "use_cache": true, "vocab_size": 131072})");
  EXPECT_EQ(nemo.heads * nemo.head_dim, 4096);
}

TEST(HubConfigs, Qwen2) {
  const ModelSpec spec = spec_of(R"({"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0,
    "bos_token_id": 151643, "eos_token_id": 151645, "hidden_act": "silu", "hidden_size": 3584,
    "initializer_range": 0.02, "intermediate_size": 18944, "max_position_embeddings": 32768,
    "max_window_layers": 28, "model_type": "qwen2", "num_attention_heads": 28, "num_hidden_layers": 28,
    "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 131072,
    "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.43.1", "use_cache": true,
    "use_mrope": false, "use_sliding_window": false, "vocab_size": 152064, "rope_scaling": {"factor": 4.0,
    "original_max_position_embeddings": 32768, "type": "yarn"}})");
  EXPECT_EQ(spec.head_dim, 128);
  EXPECT_EQ(spec.rope.kind, RopeKind::yarn);
  EXPECT_EQ(spec.rope.factor, 4) << "as stated, though max_position_embeddings was left at the original context";
  EXPECT_EQ(spec.rules, std::vector<LayerRule>{LayerRule{}});
}

constexpr const char* qwen3_fields = R"("architectures": ["Qwen3ForCausalLM"], "attention_bias": false,
    "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu",
    "hidden_size": 2560, "initializer_range": 0.02, "intermediate_size": 9728, "max_position_embeddings": 40960,
    "max_window_layers": 36, "model_type": "qwen3", "num_attention_heads": 32, "num_hidden_layers": 36,
    "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000,
    "sliding_window": null, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
    "transformers_version": "4.51.0", "use_cache": true, "use_sliding_window": false)";

TEST(HubConfigs, Qwen3) {
  const ModelSpec spec = spec_of(fmt::format(R"({{{}, "vocab_size": 151936}})", qwen3_fields).c_str());
  EXPECT_EQ(spec.family, "qwen3");
  EXPECT_EQ(spec.embeddings, 151936);
}

// design/KSA.md, the column of KSA-4B; 9 full layers of 36.
TEST(HubConfigs, KwaiSummaryAttention) {
  const ModelSpec spec = spec_of(fmt::format(R"({{{}, "vocab_size": 151936, "auto_map": {{"AutoModelForCausalLM":
    "modeling_qwen3.Qwen3ForCausalLM"}}, "use_summary_attention": true, "summary_chunk_size": 8,
    "summary_token_num": 1, "summary_token_begin": 151936, "summary_sliding_chunk_num": "([128]*3+[16768]*1)*9",
    "summary_independent_parameters": true, "summary_independent_attention_layernorm": false, "mix_coeff": 0,
    "summary_chunk_position_ids_type": "origin", "summary_token_position_ids_type": "last_chunk_slice_right",
    "truncate_predict_nums": 151936}})",
                                             qwen3_fields)
                                     .c_str());
  EXPECT_EQ(spec.family, "ksa");
  EXPECT_EQ(spec.embeddings, 151937);
  EXPECT_EQ(spec.vocabulary, 151936);
  EXPECT_FALSE(spec.summary->own_projections);
  EXPECT_EQ(spec.rules, (std::vector<LayerRule>{{Sight::summary, 128}, {}}));
  EXPECT_EQ(std::count(spec.rule_of_layer.begin(), spec.rule_of_layer.end(), 1), 9);
  EXPECT_EQ(spec.rule_of_layer[3], 1);
}

}  // namespace
}  // namespace precis
