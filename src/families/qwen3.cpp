// Qwen 3. Source: arXiv 2505.09388: an RMS norm over each head of q and k, before the rotation.
#include "families/common.h"
#include "families/layer_types.h"

namespace precis {
namespace {

constexpr std::int64_t default_head_dim = 128;  // transformers, where the key is absent

// A summary model with the summaries switched off is a plain one; its settings are idle.
void ignore_idle_summary_fields(Fields& config) {
  const auto in_use = config.find("use_summary_attention");
  if (!in_use || in_use->boolean()) return;
  for (const std::string& key : config.object().keys()) {
    if (key.starts_with("summary_") || key == "mix_coeff") config.ignore(key);
  }
}

}  // namespace

ModelSpec read_qwen3(FamilySource& source) {
  ModelSpec spec = read_common(source, "qwen3", default_head_dim);
  spec.qk_norm = true;
  spec.qkv_bias = source.config.flag("attention_bias", false);
  spec.output_bias = spec.qkv_bias;
  add_windowed_layers(source.config, spec);
  ignore_idle_summary_fields(source.config);
  return spec;
}

}  // namespace precis
