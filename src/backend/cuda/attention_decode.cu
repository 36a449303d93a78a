// Attention for rows of which there are few, over bf16 keys and values, by tensor cores: as attention_split.cuh, and as
// exact. A warp takes 16 entries at a time for up to 8 query heads of a KV head. What a product of 16 x 16 and 16 x 8
// has room for beside the 8 heads takes what rounding q and the weights to bf16 left over: rows 0 to 7 are the rounded
// numbers, rows 8 to 15 the rests, and their products are added in the end.
//
// Nothing goes through shared memory on its way in. A product's inner dimension may be permuted if both sides are, so
// that lanes load 16 bytes as they lie and have what the product wants of them: lane 4 g + t has of keys dimensions
// 8 t to 8 t + 7 of every 32 of entry g, and of values dimensions 8 g to 8 g + 7 of every 64 of entries 2 t, 2 t + 1,
// 2 t + 8 and 2 t + 9.
#include "backend/cuda/attention_partial.cuh"
#include "backend/cuda/barrier.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/tensor_core.cuh"

namespace precis::cuda {
namespace {

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

// Two floats as bf16 and, as bf16 as well, what that rounding left over.
__device__ inline void split_pair(float first, float second, std::uint32_t& rounded, std::uint32_t& rest) {
  rounded = pair_of(first, second);
  rest = pair_of(first - first_bf16(rounded), second - second_bf16(rounded));
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
  // Of the entries; not less than the stretches' count behind the last ones.
  __device__ int stretch() const { return stretch_; }

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

// Both tracks of a row, for one KV head.
class RowTracks {
 public:
  __device__ RowTracks(const AttentionBatch& batch, const RowRun& run, int kv_head)
      : text_(batch, run.text, kv_head), summary_(run.summary) {}

  __device__ TrackKeys of(const WarpEntries& entries) const {
    TrackKeys keys = text_;
    if (entries.summary) {
      keys.pages = summary_.pages;
      keys.first_page = summary_.first_page;
    }
    return keys;
  }

 private:
  TrackKeys text_;
  TrackPages summary_;
};

// Addresses of 16 entries' keys: one look into the page table where they share a page.
class EntryKeys {
 public:
  __device__ EntryKeys(const TrackKeys& keys, const WarpEntries& entries)
      : keys_(keys), first_(entries.first), in_one_page_(keys.shift >= 4) {
    const int seen = max(entries.first, entries.bounds.low);  // others need not have a page
    if (in_one_page_) base_ = keys.key(seen) - (seen - entries.first) * keys.entry_bytes;
  }

  __device__ const std::byte* at(int index) const {
    return in_one_page_ ? base_ + index * keys_.entry_bytes : keys_.key(first_ + index);
  }

 private:
  const TrackKeys& keys_;
  int first_;
  bool in_one_page_;
  const std::byte* base_ = nullptr;
};

template <int dims>
struct WarpKeys {
  static constexpr int spans = dims / 32;

  __device__ void load(const TrackKeys& keys, const WarpEntries& entries, int head_dim) {
    const EntryKeys addresses(keys, entries);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int index = 8 * half + group_lane();
      const bool seen = entries.sees(entries.first + index);
      const std::byte* key = seen ? addresses.at(index) : nullptr;
#pragma unroll
      for (int span = 0; span < spans; ++span) {
        const int dim = 32 * span + 8 * quad_lane();
        of[half][span] =
            seen && dim < head_dim ? __ldcs(reinterpret_cast<const uint4*>(key + 2 * dim)) : make_uint4(0, 0, 0, 0);
      }
    }
  }

  uint4 of[2][spans];  // [first or last 8 entries][32 dimensions]
};

template <int dims>
struct WarpValues {
  static constexpr int spans = dims / 64;

  __device__ void load(const TrackKeys& keys, std::int64_t value_offset, const WarpEntries& entries, int head_dim) {
    const EntryKeys addresses(keys, entries);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int index = 2 * quad_lane() + i % 2 + i / 2 * 8;
      const bool seen = entries.sees(entries.first + index);
      const std::byte* value = seen ? addresses.at(index) + value_offset : nullptr;
#pragma unroll
      for (int span = 0; span < spans; ++span) {
        const int dim = 64 * span + 8 * group_lane();
        of[i][span] =
            seen && dim < head_dim ? __ldcs(reinterpret_cast<const uint4*>(value + 2 * dim)) : make_uint4(0, 0, 0, 0);
      }
    }
  }

  uint4 of[4][spans];  // [entries 2 t, 2 t + 1, 2 t + 8, 2 t + 9][64 dimensions]
};

__device__ inline std::uint32_t word_at(const uint4& of, int index) {
  return index == 0 ? of.x : index == 1 ? of.y : index == 2 ? of.z : of.w;
}

// What up to 8 query heads of a row have attended to in a warp's entries of a stretch. Head g is with lanes 4 g to
// 4 g + 3.
template <int dims>
class DecodeWarp {
 public:
  __device__ DecodeWarp(const AttentionBatch& batch, int row, int first_head, int head_count) {
    const int head_dim = static_cast<int>(batch.kv.head_dim);
    const float* from = batch.q + row * batch.q_stride + (first_head + group_lane()) * head_dim;
#pragma unroll
    for (int span = 0; span < dims / 32; ++span) {
      const int dim = 32 * span + 8 * quad_lane();
      float q[8];
#pragma unroll
      for (int i = 0; i < 8; ++i) q[i] = group_lane() < head_count && dim < head_dim ? from[dim + i] * batch.scale : 0;
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        std::uint32_t(&a)[4] = q_[span][step];
        split_pair(q[4 * step], q[4 * step + 1], a[0], a[1]);
        split_pair(q[4 * step + 2], q[4 * step + 3], a[2], a[3]);
      }
    }
    clear();
  }

  __device__ void clear() {
    most_ = no_score;
    sum_ = 0;
#pragma unroll
    for (auto& span : out_) {
#pragma unroll
      for (auto& tile : span) {
#pragma unroll
        for (float& value : tile) value = 0;
      }
    }
  }

  // Scores of entries 2 t and 2 t + 1 of the first and of the last 8.
  __device__ void score(const WarpKeys<dims>& keys, const WarpEntries& entries, float (&scores)[2][2]) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sums[4] = {};
#pragma unroll
      for (int span = 0; span < dims / 32; ++span) {
#pragma unroll
        for (int step = 0; step < 2; ++step) {
          multiply_add(sums, q_[span][step], word_at(keys.of[half][span], 2 * step),
                       word_at(keys.of[half][span], 2 * step + 1));
        }
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const bool seen = entries.sees(entries.first + 8 * half + 2 * quad_lane() + i);
        scores[half][i] = seen ? sums[i] + sums[2 + i] : -INFINITY;
      }
    }
  }

  // Scores -> weights relative to the largest score so far.
  __device__ void weigh(float (&scores)[2][2]) {
    float most = fmaxf(fmaxf(scores[0][0], scores[0][1]), fmaxf(scores[1][0], scores[1][1]));
    most = fmaxf(most, __shfl_xor_sync(all_lanes, most, 1));
    most = fmaxf(most, __shfl_xor_sync(all_lanes, most, 2));
    most = fmaxf(most, most_);
    const float fall = exp2f(most_ - most);
    most_ = most;
    sum_ *= fall;
#pragma unroll
    for (auto& half : scores) {
#pragma unroll
      for (float& score : half) {
        score = exp2f(score - most);
        sum_ += score;
      }
    }
    if (!__any_sync(all_lanes, fall != 1)) return;
#pragma unroll
    for (auto& span : out_) {
#pragma unroll
      for (auto& tile : span) {
#pragma unroll
        for (float& value : tile) value *= fall;
      }
    }
  }

  __device__ void add(const WarpValues<dims>& values, const float (&weights)[2][2]) {
    std::uint32_t a[4];
    split_pair(weights[0][0], weights[0][1], a[0], a[1]);
    split_pair(weights[1][0], weights[1][1], a[2], a[3]);
#pragma unroll
    for (int span = 0; span < dims / 64; ++span) {
#pragma unroll
      for (int word = 0; word < 4; ++word) {
        const std::uint32_t w[4] = {word_at(values.of[0][span], word), word_at(values.of[1][span], word),
                                    word_at(values.of[2][span], word), word_at(values.of[3][span], word)};
        multiply_add(out_[span][2 * word], a, __byte_perm(w[0], w[1], 0x5410), __byte_perm(w[2], w[3], 0x5410));
        multiply_add(out_[span][2 * word + 1], a, __byte_perm(w[0], w[1], 0x7632), __byte_perm(w[2], w[3], 0x7632));
      }
    }
  }

  // Into the warp's share; called by all lanes.
  __device__ void write(SplitShares<most_split_heads, dims>& shares) {
    const float sum = lane_sum<4>(sum_);
    const int warp = static_cast<int>(threadIdx.x) / warp_lanes;
    const int head = group_lane();
#pragma unroll
    for (int span = 0; span < dims / 64; ++span) {
      float* to = &shares.out[warp][head][64 * span + 16 * quad_lane()];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int tile = 0; tile < 8; ++tile) to[8 * i + tile] = out_[span][tile][i] + out_[span][tile][2 + i];
      }
    }
    if (quad_lane() == 0) {
      shares.most[warp][head] = most_;
      shares.sum[warp][head] = sum;
    }
  }

 private:
  std::uint32_t q_[dims / 32][2][4];  // times the scores' scale; [32 dimensions][16 of them]
  float out_[dims / 64][8][4];        // [64 dimensions][every 8th of them]
  float most_;                        // the largest score so far
  float sum_;                         // of this lane's weights, relative to it
};

// Entries that this warp attends to first are on their way to the second-level cache while the kernel before this one
// ends: also where that one still writes some of them.
__device__ inline void prefetch_first(const RowTracks& tracks, const KvView& kv, const Stretches& stretches, int slot,
                                      int slots) {
  const WarpWalk walk(stretches, slot, slots);
  if (walk.stretch() >= stretches.count) return;
  const WarpEntries& entries = walk.entries();
  const TrackKeys keys = tracks.of(entries);
  const EntryKeys addresses(keys, entries);
  const int entry_bytes = keys.entry_bytes;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int index = 8 * half + group_lane();
    if (!entries.sees(entries.first + index)) continue;
    for (int at = 64 * quad_lane(); at < entry_bytes; at += 256) {
      prefetch(addresses.at(index) + at);
      prefetch(addresses.at(index) + kv.value_offset + at);
    }
  }
}

// Where warps put their shares of a stretch, two stretches in turn. Another warp each time adds them up while the
// others go on.
template <int dims>
struct ShareRing {
  using Shares = SplitShares<most_split_heads, dims>;

  // Called by one thread before all others go on.
  __device__ void make() {
#pragma unroll
    for (int place = 0; place < 2; ++place) {
      make_barrier(full[place], split_warps);
      make_barrier(taken[place], 1);
    }
  }

  // `turn`: stretches that the block has put here before.
  template <typename Put, typename Take>
  __device__ void pass(int turn, const Put& put, const Take& take) {
    const int place = turn % 2;
    const unsigned parity = turn / 2 % 2;
    const bool speaks = threadIdx.x % warp_lanes == 0;
    if (turn >= 2) wait_for(taken[place], parity ^ 1U);
    put(shares[place]);
    __syncwarp();
    if (speaks) arrive(full[place]);
    if (static_cast<int>(threadIdx.x) / warp_lanes != turn % split_warps) return;
    wait_for(full[place], parity);
    take(shares[place]);
    __syncwarp();
    if (speaks) arrive(taken[place]);
  }

  Shares shares[2];
  Barrier full[2];
  Barrier taken[2];
};

template <int dims>
__device__ void attend_heads(const SplitArgs& args, const SplitRow& at, const RowTracks& tracks,
                             const Stretches& stretches, int first_head, int head_count, ShareRing<dims>& ring,
                             int& turn) {
  const AttentionBatch& batch = args.batch;
  const int head_dim = static_cast<int>(batch.kv.head_dim);
  WarpWalk walk(stretches, at.slot, args.slots);
  WarpKeys<dims> keys;
  if (walk.stretch() < stretches.count) keys.load(tracks.of(walk.entries()), walk.entries(), head_dim);
  DecodeWarp<dims> warp(batch, at.row(), first_head, head_count);
  for (int stretch = at.slot; stretch < stretches.count; stretch += args.slots, ++turn) {
    warp.clear();
    while (walk.stretch() == stretch) {
      const WarpEntries entries = walk.entries();
      WarpValues<dims> values;
      values.load(tracks.of(entries), batch.kv.value_offset, entries, head_dim);
      float weights[2][2];
      warp.score(keys, entries, weights);
      walk.advance();
      // The next keys are on their way while these values come and are added, also past the stretch's end.
      if (walk.stretch() < stretches.count) keys.load(tracks.of(walk.entries()), walk.entries(), head_dim);
      warp.weigh(weights);
      warp.add(values, weights);
    }
    ring.pass(
        turn, [&](auto& shares) { warp.write(shares); },
        [&](const auto& shares) {
          write_stretch(args, shares, static_cast<int>(threadIdx.x) % warp_lanes, warp_lanes, at.in_launch(),
                        first_head, head_count, stretch);
        });
  }
}

// Grid: see SplitRow.
template <int dims>
__global__ void __launch_bounds__(split_threads, 2) decode_kernel(const __grid_constant__ SplitArgs args) {
  __shared__ ShareRing<dims> ring;
  let_next_begin();
  const SplitRow at(args);
  if (!at.exists()) return wait_for_previous();
  const AttentionBatch& batch = args.batch;
  // The step's inputs, which were there before any of its operations.
  const RowRun run = batch.runs[at.piece.run];
  const Stretches stretches(batch.bounds[at.row()]);
  if (at.slot >= stretches.count) return wait_for_previous();
  const RowTracks tracks(batch, run, at.kv_head);
  prefetch_first(tracks, batch.kv, stretches, at.slot, args.slots);
  if (threadIdx.x == 0) ring.make();
  __syncthreads();
  wait_for_previous();
  const int group = batch.heads / static_cast<int>(batch.kv.kv_heads);
  int turn = 0;
  for (int in_group = 0; in_group < group; in_group += most_split_heads) {
    attend_heads<dims>(args, at, tracks, stretches, at.kv_head * group + in_group,
                       min(most_split_heads, group - in_group), ring, turn);
  }
  merge_if_last(args, at, stretches.count);
}

}  // namespace

void launch_split_attention(const SplitArgs& args, cudaStream_t stream) {
  const AttentionBatch& batch = args.batch;
  const dim3 grid(static_cast<unsigned>(args.slots * batch.kv.kv_heads), static_cast<unsigned>(args.most_rows),
                  static_cast<unsigned>(batch.count));
  if (batch.kv.type == DType::f32) {
    launch_split_f32(args, grid, stream);
  } else if (batch.kv.type == DType::f8_e4m3) {
    launch_split_f8(args, grid, stream);
  } else if (batch.kv.head_dim <= 64) {
    launch_early("decode_attention", decode_kernel<64>, grid, split_threads, stream, args);
  } else if (batch.kv.head_dim <= 128) {
    launch_early("decode_attention", decode_kernel<128>, grid, split_threads, stream, args);
  } else {
    launch_split_wide(args, grid, stream);
  }
}

}  // namespace precis::cuda
