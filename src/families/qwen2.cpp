// Qwen 2 and 2.5. Source: arXiv 2407.10671: biases on q, k and v always, on o never.
#include "families/common.h"
#include "families/layer_types.h"

namespace precis {

ModelSpec read_qwen2(FamilySource& source) {
  ModelSpec spec = read_common(source, "qwen2");
  spec.qkv_bias = true;
  add_windowed_layers(source.config, spec);
  return spec;
}

}  // namespace precis
