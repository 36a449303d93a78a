#include "kv/kv_geometry.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/error.h"

namespace precis {

KvView KvGeometry::picked_view(std::byte* base) const {
  KvGeometry alone = *this;
  alone.short_dim = 0;
  alone.sides_apart = false;
  return alone.view({.near = base}, 0);
}

KvView KvGeometry::view(const KvMemory& memory, std::int64_t index) const {
  PRECIS_CHECK(!sides_apart || memory.far == nullptr);
  KvView view{.base = memory.near,
              .page_bytes = sides_apart ? side_bytes() : layer_bytes(),
              .layer_offset = index * memory.pages.near * layer_bytes(),
              .value_offset = sides_apart ? memory.pages.near * side_bytes() : side_bytes(),
              .page_entries = page_entries,
              .kv_heads = kv_heads,
              .head_dim = head_dim,
              .type = type,
              .near_short = near_short_keys(memory, index),
              .short_dim = short_dim};
  if (memory.far == nullptr) return view;
  view.near_pages = memory.pages.near;
  view.far_base = memory.far + index * memory.pages.far * layer_bytes();
  view.short_base = far_short_keys(memory, index);
  return view;
}

KvGeometry make_kv_geometry(std::span<const std::int32_t> rule_of_layer, std::int64_t page_entries,
                            std::int64_t kv_heads, std::int64_t head_dim, DType type, std::int64_t short_dim) {
  PRECIS_CHECK(!rule_of_layer.empty() && page_entries > 0 && kv_heads > 0 && head_dim > 0);
  std::map<std::int32_t, std::vector<std::int32_t>> layers_of_rule;
  for (std::size_t layer = 0; layer < rule_of_layer.size(); ++layer) {
    layers_of_rule[rule_of_layer[layer]].push_back(static_cast<std::int32_t>(layer));
  }
  std::size_t size = 0;
  for (const auto& [rule, layers] : layers_of_rule) size = std::gcd(size, layers.size());

  KvGeometry geometry{.page_entries = page_entries,
                      .kv_heads = kv_heads,
                      .head_dim = head_dim,
                      .type = type,
                      .groups = {},
                      .short_dim = short_dim};
  for (const auto& [rule, layers] : layers_of_rule) {
    for (std::size_t first = 0; first < layers.size(); first += size) {
      const auto begin = layers.begin() + static_cast<std::ptrdiff_t>(first);
      geometry.groups.push_back({rule, {begin, begin + static_cast<std::ptrdiff_t>(size)}});
    }
  }
  return geometry;
}

}  // namespace precis
