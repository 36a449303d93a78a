// Llama 1 to 3 and their many relatives (TinyLlama, SmolLM2, Yi). Source: arXiv 2302.13971, 2407.21783.
#include "families/common.h"

namespace precis {

ModelSpec read_llama(FamilySource& source) {
  ModelSpec spec = read_common(source, "llama");
  spec.qkv_bias = source.config.flag("attention_bias", false);
  spec.output_bias = spec.qkv_bias;
  spec.mlp_bias = source.config.flag("mlp_bias", false);
  add_layers(spec, LayerRule{});
  return spec;
}

}  // namespace precis
