// How K and V lie in pages: layers of equal rule form groups of equally many layers, so that pages of one size serve
// every group and memory held is pages times page size, exactly.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/attention_args.h"
#include "kv/page_pool.h"

namespace precis {

// Layers that share page tables: their entries come and go together.
struct KvGroup {
  std::int32_t rule = 0;                 // index of the rule that its layers follow
  std::vector<std::int32_t> layers;      // of the model, ascending
  PageKind text_pages = PageKind::near;  // summaries always have near ones
};

// Where a pool's pages lie. Without far pages `near` alone is there.
struct KvMemory {
  std::byte* near = nullptr;        // [layers of a group, pages.near, K and V], with KvGeometry::sides_apart
                                    // [layers of a group, K and V, pages.near]; then [layers, pages.near, k']
  std::byte* far = nullptr;         // [layers of a group, pages.far, K and V]
  std::byte* short_keys = nullptr;  // of far pages, a device's own memory: [layers of a group, pages.far, k']
  PageCounts pages = {};
};

struct KvGeometry {
  std::int64_t page_entries = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  DType type = DType::bf16;
  std::vector<KvGroup> groups;
  std::int64_t short_dim = 0;  // numbers of k' beside each K and V, which models that select choose by; 0: none
  bool near_short = true;      // near pages have room for k'; false where only what far pages hold is chosen among
  // A layer has K of all near pages and then their V, so that neighbouring pages are read in one go, which processors
  // read faster than parts of a page. Not with far pages.
  bool sides_apart = false;

  // K and V of one token in one layer.
  std::int64_t entry_bytes() const { return 2 * kv_heads * head_dim * size_of(type); }
  // Its k'.
  std::int64_t short_bytes() const { return short_dim * size_of(KvView{.type = type}.short_type()); }
  std::int64_t layers_per_group() const { return static_cast<std::int64_t>(groups.front().layers.size()); }
  // Of one layer: K and V of a page, and its k'.
  std::int64_t layer_bytes() const { return page_entries * entry_bytes(); }
  std::int64_t side_bytes() const { return layer_bytes() / 2; }
  std::int64_t short_page_bytes() const { return page_entries * short_bytes(); }
  // Of a near page.
  std::int64_t page_bytes() const {
    return layers_per_group() * (layer_bytes() + (near_short ? short_page_bytes() : 0));
  }
  // Of a far page, in far memory.
  std::int64_t far_page_bytes() const { return layers_per_group() * layer_bytes(); }
  // What pages take of a device's own memory, and of far memory.
  std::int64_t device_bytes(const PageCounts& pages) const {
    return pages.near * page_bytes() + pages.far * layers_per_group() * short_page_bytes();
  }
  std::int64_t far_bytes(const PageCounts& pages) const { return pages.far * far_page_bytes(); }

  // The part of a pool that belongs to layer `index` of a group.
  KvView view(const KvMemory& memory, std::int64_t index) const;
  // Pages of one layer's K and V alone, for what was picked.
  KvView picked_view(std::byte* base) const;
  // The k' of near and of far pages in that layer.
  std::byte* near_short_keys(const KvMemory& memory, std::int64_t index) const {
    return memory.near + memory.pages.near * (layers_per_group() * layer_bytes() + index * short_page_bytes());
  }
  std::byte* far_short_keys(const KvMemory& memory, std::int64_t index) const {
    return memory.short_keys + index * memory.pages.far * short_page_bytes();
  }
};

// `rule_of_layer`: for each layer the index of its rule. Group size is the largest that divides every rule's layers.
KvGeometry make_kv_geometry(std::span<const std::int32_t> rule_of_layer, std::int64_t page_entries,
                            std::int64_t kv_heads, std::int64_t head_dim, DType type, std::int64_t short_dim = 0);

}  // namespace precis
