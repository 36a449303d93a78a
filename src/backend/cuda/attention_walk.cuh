// How a warp that decodes goes through a row's entries: 16 at a time, and where they lie.
#pragma once

#include "backend/cuda/attention_partial.cuh"

namespace precis::cuda {

// Entries that a warp takes at a time.
constexpr int warp_entries = 16;
static_assert(split_warps * warp_entries == entry_block);

__device__ inline int group_lane() {
  return static_cast<int>(threadIdx.x) % warp_lanes / 4;
}
__device__ inline int quad_lane() {
  return static_cast<int>(threadIdx.x) % 4;
}

__device__ inline void prefetch(const std::byte* at) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
}

// This block's part of the matrix that is multiplied next, of which all blocks fetch equal parts to the second-level
// cache: when attention ends, memory is idle until the product begins. Called by one warp.
__device__ inline void prefetch_next(const SplitArgs& args) {
#if __CUDA_ARCH__ >= 900
  constexpr std::int64_t unit = 512;
  const std::int64_t parts = std::int64_t{gridDim.x} * gridDim.y * gridDim.z * warp_lanes;
  const std::int64_t block = (std::int64_t{blockIdx.z} * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const std::int64_t bytes = (args.next_bytes + parts * unit - 1) / (parts * unit) * unit;
  const std::int64_t from = (block * warp_lanes + threadIdx.x % warp_lanes) * bytes;
  const std::int64_t count = min(bytes, args.next_bytes - from);
  if (count <= 0) return;
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(args.next + from), "r"(static_cast<unsigned>(count)));
#endif
}

// 16 entries of a track, or none. `bounds`: those of its stretch.
struct WarpEntries {
  __device__ bool sees(int entry) const { return bounds.low <= entry && entry < bounds.high; }

  Bounds bounds;
  int first;
  bool summary;
};

// A block's stretches of a row, 16 entries after the other for each warp: every (4)th of these, counted from the
// track's begin. The same for all lanes.
class WarpWalk {
 public:
  __device__ WarpWalk(const Stretches& stretches, int slot, int slots)
      : stretches_(stretches), slots_(slots), stretch_(slot) {
    enter(true);
  }

  __device__ const WarpEntries& entries() const { return entries_; }
  // Of the entries; not less than count() behind the last ones.
  __device__ int stretch() const { return stretch_; }
  __device__ int count() const { return stretches_.count; }
  // Whether the entries are known when the kernel before this one has ended; and until they are.
  __device__ static constexpr bool waits() { return false; }
  __device__ void wait() {}

  __device__ void advance() {
    entries_.first += entry_block;
    if (entries_.first >= entries_.bounds.high) leave();
  }

 private:
  __device__ void leave() {
    if (entries_.summary) return enter(false);
    stretch_ += slots_;
    enter(true);
  }

  // To the first entries of a track in this stretch or, where it has none for this warp, to the next ones.
  __device__ void enter(bool summary) {
    while (stretch_ < stretches_.count) {
      entries_.summary = summary;
      entries_.bounds = summary ? stretches_.summary_of(stretch_) : stretches_.text_of(stretch_);
      const int warp = static_cast<int>(threadIdx.x) / warp_lanes;
      entries_.first = entries_.bounds.low / entry_block * entry_block + warp * warp_entries;
      if (entries_.first + warp_entries <= entries_.bounds.low) entries_.first += entry_block;
      if (entries_.first < entries_.bounds.high) return;
      if (!summary) stretch_ += slots_;
      summary = !summary;
    }
    entries_ = {{0, 0}, 0, false};
  }

  Stretches stretches_;
  int slots_;
  int stretch_;
  WarpEntries entries_{};
};

// Addresses of 16 entries' keys: one look into the page table where they share a page.
class EntryKeys {
 public:
  __device__ EntryKeys(const TrackKeys& keys, const WarpEntries& entries)
      : keys_(keys), first_(entries.first), in_one_page_(keys.shift >= 4) {
    const int seen = max(entries.first, entries.bounds.low);  // others need not have a page
    if (in_one_page_) base_ = keys.key(seen) - (seen - entries.first) * keys.entry_bytes;
  }

  // Called by all lanes, by some of entries that are not seen: these get no address, or one that nobody may read.
  __device__ const std::byte* at(int index, bool seen) const {
    if (in_one_page_) return base_ + index * keys_.entry_bytes;
    return seen ? keys_.key(first_ + index) : nullptr;
  }

 private:
  TrackKeys keys_;
  int first_;
  bool in_one_page_;
  const std::byte* base_ = nullptr;
};

// Both tracks of a row, for one KV head.
class RowTracks {
 public:
  __device__ RowTracks(const AttentionBatch& batch, const RowRun& run, int kv_head)
      : text_(batch, run.text, kv_head), summary_(run.summary) {}

  __device__ EntryKeys keys(const WarpEntries& entries) const {
    TrackKeys keys = text_;
    if (entries.summary) {
      keys.pages = summary_.pages;
      keys.first_page = summary_.first_page;
    }
    return {keys, entries};
  }
  __device__ bool queries_differ() const { return false; }

 private:
  TrackKeys text_;
  TrackPages summary_;
};

// Times that a warp takes entries which are fetched before the kernel before this one ends.
constexpr int prefetched_times = 3;

// Entries that this warp attends to first are on their way to the second-level cache: while the kernel before this one
// ends, also where that one still writes some of them.
template <typename Tracks>
__device__ inline void prefetch_first(const Tracks& tracks, const KvView& kv, WarpWalk walk) {
  for (int time = 0; time < prefetched_times && walk.stretch() < walk.count(); ++time, walk.advance()) {
    const WarpEntries& entries = walk.entries();
    const auto keys = tracks.keys(entries);
    const int entry_bytes = static_cast<int>(kv.head_dim) * (kv.type == DType::bf16 ? 2 : 1);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int index = 8 * half + group_lane();
      const bool seen = entries.sees(entries.first + index);
      const std::byte* key = keys.at(index, seen);
      if (!seen) continue;
      for (int at = 64 * quad_lane(); at < entry_bytes; at += 256) {
        prefetch(key + at);
        prefetch(key + kv.value_offset + at);
      }
    }
  }
}

}  // namespace precis::cuda
