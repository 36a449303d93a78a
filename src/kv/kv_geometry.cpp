#include "kv/kv_geometry.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/error.h"

namespace precis {
namespace {

// Of a layer's part of a page: what devices read at once.
constexpr std::int64_t alignment = 16;

}  // namespace

std::int64_t KvGeometry::layer_bytes() const {
  // Without k' as it is, whatever the sizes: no room between layers.
  const std::int64_t plain = page_entries * entry_bytes();
  if (short_dim == 0 || !near_short) return plain;
  return (plain + page_entries * short_bytes() + alignment - 1) / alignment * alignment;
}

KvView KvGeometry::picked_view(std::byte* base) const {
  KvGeometry alone = *this;
  alone.short_dim = 0;
  KvView view = alone.view({.near = base}, 0);
  view.page_bytes = alone.layer_bytes();
  return view;
}

KvView KvGeometry::view(const KvMemory& memory, std::int64_t index) const {
  const std::int64_t half = page_entries * kv_heads * head_dim * size_of(type);
  KvView view{.base = memory.near,
              .page_bytes = page_bytes(),
              .layer_offset = index * layer_bytes(),
              .value_offset = half,
              .page_entries = page_entries,
              .kv_heads = kv_heads,
              .head_dim = head_dim,
              .type = type,
              .short_offset = 2 * half,
              .short_dim = short_dim};
  if (memory.far == nullptr) return view;
  view.near_pages = memory.pages.near;
  view.far_base = memory.far + index * page_entries * entry_bytes();
  view.far_page_bytes = far_page_bytes();
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
