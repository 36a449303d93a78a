#include "calibration/layer_products.h"

#include <fmt/format.h>

namespace precis {

std::vector<LayerProduct> products_of(LayerWeights& layer, std::int64_t index) {
  const std::string at = fmt::format("model.layers.{}.", index);
  const std::string self = at + "self_attn.";
  const auto name = [&](const char* matrix) { return self + matrix + ".weight"; };
  std::vector<LayerProduct> products = {
      {{name("q_proj"), &layer.qkv[0]}, {name("k_proj"), &layer.qkv[1]}, {name("v_proj"), &layer.qkv[2]}},
      {{name("q_proj_summary"), &layer.qkv_summary[0]},
       {name("k_proj_summary"), &layer.qkv_summary[1]},
       {name("v_proj_summary"), &layer.qkv_summary[2]}},
      {{name("o_proj"), &layer.output}},
      {{at + "mlp.gate_proj.weight", &layer.gate}, {at + "mlp.up_proj.weight", &layer.up}},
      {{at + "mlp.down_proj.weight", &layer.down}}};
  std::erase_if(products, [](LayerProduct& product) {
    std::erase_if(product, [](const auto& matrix) { return !matrix.second->weight; });
    return product.empty();
  });
  return products;
}

}  // namespace precis
