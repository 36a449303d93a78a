// What attention reads: a paged cache, and for each row the entries that it sees.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "device/weight_view.h"
#include "tensor/dtype.h"

namespace precis {

// One layer's part of the page pool. A page holds `page_entries` entries of every layer of one group: of each layer K
// [kv_heads, page_entries, head_dim], then V of the same shape. A layer's parts of all pages lie side by side, and so
// do, where models select, their k' [page_entries, short_dim]: what is read of far-apart pages is near in memory.
//
// Pages from `near_pages` on are *far*: K and V of their entries lie in far memory (Device::allocate_far), in the same
// order, and their k' in the device's own memory, those of a layer side by side.
struct KvView {
  std::byte* base = nullptr;      // the pool's near pages
  std::int64_t page_bytes = 0;    // from a layer's part of one page to that of the next
  std::int64_t layer_offset = 0;  // from `base` to this layer's K in page 0
  std::int64_t value_offset = 0;  // from K to V
  std::int64_t page_entries = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  DType type = DType::bf16;         // f32, bf16 or f8_e4m3
  std::byte* near_short = nullptr;  // this layer's k' of the near pages: [near pages, page_entries, short_dim]
  std::int64_t short_dim = 0;       // of k'; 0: there is none
  std::int64_t near_pages = std::numeric_limits<std::int64_t>::max();
  std::byte* far_base = nullptr;    // this layer's K in the first far page; these are as far apart
  std::byte* short_base = nullptr;  // this layer's k' of the far pages: [far pages, page_entries, short_dim]

  // Where this layer's K of a page begins.
  constexpr std::byte* keys(std::int64_t page) const {
    return page < near_pages ? base + page * page_bytes + layer_offset : far_base + (page - near_pages) * page_bytes;
  }
  // Address of the key of `entry` (in the page) and head; dimensions are contiguous, entries of a head follow each
  // other. The value is value_offset further on.
  constexpr std::byte* key(std::int64_t page, std::int64_t head, std::int64_t entry) const {
    return keys(page) + ((head * page_entries + entry) * head_dim) * (type == DType::f32    ? 4
                                                                      : type == DType::bf16 ? 2
                                                                                            : 1);
  }
  // What k' is kept as.
  constexpr DType short_type() const { return type == DType::f32 ? DType::f32 : DType::bf16; }
  // Address of an entry's k'.
  constexpr std::byte* short_key(std::int64_t page, std::int64_t entry) const {
    const std::int64_t bytes = short_dim * (short_type() == DType::f32 ? 4 : 2);
    return page < near_pages ? near_short + (page * page_entries + entry) * bytes
                             : short_base + ((page - near_pages) * page_entries + entry) * bytes;
  }
};

// Entries [low, high) of a track, counted from the sequence's begin.
struct Bounds {
  std::int32_t low = 0;
  std::int32_t high = 0;

  bool operator==(const Bounds&) const = default;
  bool empty() const { return low >= high; }
};

// The visible set of a row: at most one interval a track. KSA.md, "What each token sees".
struct RowBounds {
  Bounds text;
  Bounds summary;

  bool operator==(const RowBounds&) const = default;
};

// The pages of one track of one sequence: pages[i] holds the entries from (first_page + i) * page_entries on. It is a
// page of the pool, or negative where no row sees any of its entries.
struct TrackPages {
  const std::int32_t* pages = nullptr;
  std::int32_t first_page = 0;
  std::int32_t count = 0;  // of pages
};

// Rows that belong to one sequence and follow each other in the step, with that sequence's pages.
struct RowRun {
  std::int32_t first_row = 0;
  std::int32_t rows = 0;
  TrackPages text;
  TrackPages summary;
  // These rows are decoded, others are a prompt's: said of a row alike whenever it is computed. Where
  // Device::goes_by_decoded, it says which kernels attend; else nobody asks.
  bool decoded = false;
  // The summary track is pages of AttentionArgs::picked: what these rows have picked.
  bool picked = false;
};

// Text rows of one sequence that choose together, and the track that they choose from. Of its entries [0, initial) are
// picked, the `top` best of [initial, local), and [local, end), in ascending order; there are more than `top` to choose
// from. Entry i of what is picked lies in picked page first_page + i / page_entries, at i % page_entries. Runs have
// picked pages of their own.
struct PickRun {
  std::int32_t first_row = 0;
  std::int32_t rows = 0;
  TrackPages track;
  std::int32_t initial = 0;
  std::int32_t top = 0;
  std::int32_t local = 0;
  std::int32_t end = 0;
  std::int32_t first_page = 0;  // of picked pages
  std::int32_t distance = 0;    // KeyTurn::to_origin: from every query to what is picked

  std::int32_t middle() const { return local - initial; }
  std::int32_t chosen() const { return initial + top; }
  std::int32_t count() const { return chosen() + end - local; }
};

// The longest page tables of some runs, up to a power of two: as many runs with as many rows and equal sizes may be
// planned alike.
struct TableSizes {
  std::int64_t text = 0;
  std::int64_t summary = 0;
};

inline TableSizes table_sizes(std::span<const RowRun> runs) {
  std::uint32_t text = 0;
  std::uint32_t summary = 0;
  for (const RowRun& run : runs) {
    text = std::max(text, static_cast<std::uint32_t>(run.text.count));
    summary = std::max(summary, static_cast<std::uint32_t>(run.summary.count));
  }
  const auto up = [](std::uint32_t pages) { return pages == 0 ? std::int64_t{0} : std::int64_t{std::bit_ceil(pages)}; };
  return {up(text), up(summary)};
}

// out[r] = softmax(q[r] K^T * scale) V over the row's visible set, one softmax over both tracks; query head h reads KV
// head h / (heads / kv_heads). Keys are visited in a fixed order (summary pages, then text pages, each by absolute page
// number), so that a row's bits do not depend on how the step was cut. Every row sees at least one entry.
struct AttentionArgs {
  const float* q = nullptr;  // row r at q + r * q_stride: [heads, head_dim]
  std::int64_t q_stride = 0;
  float* out = nullptr;  // [rows, heads * head_dim]
  std::int64_t heads = 0;
  float scale = 0;
  KvView kv;
  // Runs in order of their rows; they cover every row once. The same in host memory, to plan by, and in device memory;
  // the page tables that both point to are device memory.
  std::span<const RowRun> runs;
  const RowRun* device_runs = nullptr;
  const RowBounds* bounds = nullptr;  // [rows]
  WeightView next = {};  // whose product takes `out` next, where that is known: a backend may prepare for it
  // Of runs that have picked: pages of their summary track, whose entries are K and V of this layer alone, of equal
  // shape and type (page_bytes and offsets are others; on a GPU value_offset is the same), and their queries for it,
  // [rows, heads * head_dim]; none: the same queries. What picked rows see of it begins at entry 0.
  KvView picked = {};
  const float* picked_q = nullptr;
  // What these runs have picked, in their order: in host memory and in device memory, as runs.
  std::span<const PickRun> picks = {};
  const PickRun* device_picks = nullptr;
  // Where Ops::attends_in_place(): the list of it (SelectArgs::list). Then nobody has copied it to `picked`: it is read
  // where it is.
  const std::int32_t* picked_list = nullptr;
};

}  // namespace precis
