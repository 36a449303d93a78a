// The smallest configuration of each family, to be changed one field at a time.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "families/families.h"

namespace precis {

// Two layers of width 8 with 2 heads of 4 and 16 ids. `family`: an architecture, or "ksa".
inline nlohmann::json small_config(const std::string& family) {
  nlohmann::json config = {
      {"architectures", {family == "ksa" ? "Qwen3ForCausalLM" : family}},
      {"hidden_size", 8},
      {"intermediate_size", 12},
      {"num_hidden_layers", 2},
      {"num_attention_heads", 2},
      {"num_key_value_heads", 1},
      {"head_dim", 4},
      {"vocab_size", 16},
      {"max_position_embeddings", 64},
      {"torch_dtype", "bfloat16"},
  };
  if (family == "MistralForCausalLM") config["sliding_window"] = nullptr;
  if (family == "ksa") {
    config.update({{"use_summary_attention", true},
                   {"summary_chunk_size", 4},
                   {"summary_token_num", 1},
                   {"summary_token_begin", 15},
                   {"truncate_predict_nums", 15},
                   {"summary_sliding_chunk_num", "[1]+[9]"},
                   {"summary_independent_parameters", true},
                   {"mix_coeff", 1.0},
                   {"summary_chunk_position_ids_type", "origin"},
                   {"summary_token_position_ids_type", "last_chunk_slice_right"}});
  }
  return config;
}

// `changes` is JSON text: an object whose members replace those of `config`.
inline nlohmann::json changed(nlohmann::json config, const std::string& changes) {
  config.update(nlohmann::json::parse(changes));
  return config;
}

inline ModelSpec spec_of(const nlohmann::json& config) {
  return read_model_spec(JsonView::parse(config.dump(), "config.json"));
}

}  // namespace precis
