// Everything about a model that its arithmetic depends on, and nothing of any family's spelling.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attention/layer_rule.h"
#include "attention/selection.h"
#include "tensor/dtype.h"
#include "tensor/weight_format.h"

namespace precis {

enum class RopeKind : std::uint8_t { standard, linear, llama3, yarn };

// Rotary position embedding, as Hugging Face transformers 5 defines each kind.
struct RopeSpec {
  RopeKind kind = RopeKind::standard;
  double theta = 10000;
  double factor = 1;                       // linear, llama3, yarn
  double low_freq_factor = 1;              // llama3
  double high_freq_factor = 4;             // llama3
  double original_context = 0;             // llama3, yarn: original_max_position_embeddings
  double beta_fast = 32;                   // yarn
  double beta_slow = 1;                    // yarn
  std::optional<double> attention_factor;  // yarn: stated, else derived from factor, mscale, mscale_all_dim
  double mscale = 0;                       // yarn; 0: absent
  double mscale_all_dim = 0;               // yarn; 0: absent
  bool truncate = true;                    // yarn: correction range rounded outwards to whole dimensions
  bool rounded = false;                    // frequencies rounded to bf16: EngineOptions::rope_frequencies
};

enum class TextPositions : std::uint8_t { origin, inner_chunk };
enum class SummaryPositions : std::uint8_t { slice_right, slice_left, zeros };

// KSA.md, "The checkpoint".
struct SummarySpec {
  std::int32_t first_id = 0;    // summary_token_begin: embedding row of summary token 0 of a chunk
  bool own_projections = true;  // summary_independent_parameters
  bool own_norm = false;        // summary_independent_attention_layernorm
  float mix = 1;                // mix_coeff: weight of the own q, k, v
  TextPositions text_positions = TextPositions::origin;
  SummaryPositions summary_positions = SummaryPositions::slice_right;
};

struct ModelSpec {
  std::string family;  // for people: "llama", "mistral", "qwen2", "qwen3", "ksa"
  std::int64_t layers = 0;
  std::int64_t hidden = 0;
  std::int64_t ffn = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t embeddings = 0;  // rows of the embedding table
  std::int64_t vocabulary = 0;  // ids that can be predicted: the first rows of the head
  std::int64_t context = 0;     // text tokens that the model was made for
  float epsilon = 1e-6F;
  bool tied_head = false;
  bool qkv_bias = false;
  bool output_bias = false;  // o_proj
  bool mlp_bias = false;
  bool qk_norm = false;
  DType weights = DType::bf16;            // as config.json says; tensors decide
  std::optional<WeightFormat> quantized;  // a checkpoint that Precis quantized: the format of its fewest bits
  RopeSpec rope;
  ChunkShape chunk;                         // none without summary attention
  std::optional<SummarySpec> summary;       // present exactly when chunk.any()
  std::vector<LayerRule> rules;             // distinct rules, in order of first use
  std::vector<std::int32_t> rule_of_layer;  // [layers]: index into rules
  std::optional<EsaRule> esa;               // full layers, and perhaps others, attend to what they select
  std::vector<std::int32_t> end_ids;        // eos_token_id of config.json, overridden by generation_config.json
  std::optional<std::int32_t> begin_id;

  std::int64_t group_heads() const { return heads / kv_heads; }
  std::int64_t qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }
  // Adds a layer with `rule` behind the others.
  void add_layer(const LayerRule& rule);
};

// The numbers agree with each other: throws Error that names the fields.
void validate(const ModelSpec& spec);

}  // namespace precis
