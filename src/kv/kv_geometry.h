// How K and V lie in pages: layers of equal rule form groups of equally many layers, so that pages of one size serve
// every group and memory held is pages times page size, exactly.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/attention_args.h"

namespace precis {

// Layers that share page tables: their entries come and go together.
struct KvGroup {
  std::int32_t rule = 0;             // index of the rule that its layers follow
  std::vector<std::int32_t> layers;  // of the model, ascending
};

struct KvGeometry {
  std::int64_t page_entries = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  DType type = DType::bf16;
  std::vector<KvGroup> groups;
  std::int64_t short_dim = 0;  // numbers of k' beside each K and V, which models that select choose by; 0: none

  // K and V of one token in one layer.
  std::int64_t entry_bytes() const { return 2 * kv_heads * head_dim * size_of(type); }
  // Its k'.
  std::int64_t short_bytes() const { return short_dim * size_of(KvView{.type = type}.short_type()); }
  std::int64_t layers_per_group() const { return static_cast<std::int64_t>(groups.front().layers.size()); }
  std::int64_t page_bytes() const { return layers_per_group() * layer_bytes(); }
  // The part of a pool at `base` that belongs to layer `index` of a group.
  KvView view(std::byte* base, std::int64_t index) const;
  // Pages of one layer's K and V alone, for what was picked.
  KvView picked_view(std::byte* base) const;

 private:
  std::int64_t layer_bytes() const;  // of a page
};

// `rule_of_layer`: for each layer the index of its rule. Group size is the largest that divides every rule's layers.
KvGeometry make_kv_geometry(std::span<const std::int32_t> rule_of_layer, std::int64_t page_entries,
                            std::int64_t kv_heads, std::int64_t head_dim, DType type, std::int64_t short_dim = 0);

}  // namespace precis
