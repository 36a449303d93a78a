// Where entries lie and which of them a row sees, for the attention kernels.
#pragma once

#include <climits>

#include "backend/cuda/attention_plan.h"

namespace precis::cuda {

// Keys of one KV head of one track. `page_entries` is `1 << shift` unless shift < 0.
struct TrackKeys {
  __device__ TrackKeys(const AttentionBatch& batch, const TrackPages& track, int kv_head)
      : TrackKeys(batch, batch.kv, track, kv_head) {}
  // Of `kv`, the batch's one or what was picked.
  __device__ TrackKeys(const AttentionBatch& batch, const KvView& kv, const TrackPages& track, int kv_head)
      : pages(track.pages),
        first_page(track.first_page),
        page_entries(static_cast<int>(kv.page_entries)),
        shift(batch.page_shift),
        page_bytes(kv.page_bytes),
        entry_bytes(static_cast<int>(kv.head_dim) * (kv.type == DType::f32    ? 4
                                                     : kv.type == DType::bf16 ? 2
                                                                              : 1)),
        near_pages(kv.far_base != nullptr ? static_cast<int>(kv.near_pages) : INT_MAX),
        head(kv.base + kv.layer_offset + static_cast<std::int64_t>(kv_head) * kv.page_entries * entry_bytes),
        far_head(kv.far_base + static_cast<std::int64_t>(kv_head) * kv.page_entries * entry_bytes) {}

  // Of an entry that somebody sees: no other has a page.
  __device__ const std::byte* key(int entry) const {
    const int page = shift >= 0 ? entry >> shift : entry / page_entries;
    const int in_page = entry - page * page_entries;
    const int in_pool = __ldg(pages + (page - first_page));
    const bool is_near = in_pool < near_pages;
    return (is_near ? head : far_head) + (is_near ? in_pool : in_pool - near_pages) * page_bytes +
           in_page * entry_bytes;
  }

  const std::int32_t* pages;
  int first_page;
  int page_entries;
  int shift;
  std::int64_t page_bytes;  // also of far pages
  int entry_bytes;
  int near_pages;
  const std::byte* head;  // in page 0
  const std::byte* far_head;
};

// A run's summary track, or what takes its place.
__device__ inline TrackKeys summary_keys(const AttentionBatch& batch, const RowRun& run, int kv_head) {
  return {batch, run.picked ? batch.picked : batch.kv, run.summary, kv_head};
}

// A row's queries for one track.
__device__ inline const float* row_queries(const AttentionBatch& batch, int row, bool of_picked) {
  return of_picked ? batch.picked_q + row * batch.heads * batch.kv.head_dim : batch.q + row * batch.q_stride;
}

// Blocks of entries that an interval touches: [first, first + count).
struct EntryBlocks {
  __device__ explicit EntryBlocks(const Bounds& bounds)
      : first(bounds.low / entry_block),
        count(bounds.low < bounds.high ? (bounds.high + entry_block - 1) / entry_block - first : 0) {}

  int first;
  int count;
};

// How a row's entries are cut: the blocks of its summary track and then those of its text track, equally many to a
// stretch: up to 16 stretches of one block, so that short rows are shared by many processors, and then about as the
// root of their number, for what a stretch costs beside its blocks. A function of the row's bounds alone.
struct Stretches {
  __device__ explicit Stretches(const RowBounds& of) : bounds(of), summary(of.summary), text(of.text) {
    const int blocks = summary.count + text.count;
    blocks_each = 1;
    while (16 * blocks_each * blocks_each < blocks || blocks_each * most_stretches < blocks) blocks_each *= 2;
    count = (blocks + blocks_each - 1) / blocks_each;
  }

  __device__ Bounds summary_of(int stretch) const {
    return cut(bounds.summary, summary, stretch * blocks_each, (stretch + 1) * blocks_each);
  }
  __device__ Bounds text_of(int stretch) const {
    return cut(bounds.text, text, stretch * blocks_each - summary.count, (stretch + 1) * blocks_each - summary.count);
  }

  RowBounds bounds;
  EntryBlocks summary;
  EntryBlocks text;
  int blocks_each;
  int count;

 private:
  // The part of `whole` that lies in its blocks [from, to).
  static __device__ Bounds cut(const Bounds& whole, const EntryBlocks& blocks, int from, int to) {
    from = max(from, 0);
    to = min(to, blocks.count);
    if (from >= to) return {0, 0};
    return {max(whole.low, (blocks.first + from) * entry_block), min(whole.high, (blocks.first + to) * entry_block)};
  }
};

}  // namespace precis::cuda
