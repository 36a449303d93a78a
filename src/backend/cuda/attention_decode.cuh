// Attention for rows of which there are few, over keys and values in bf16 or e4m3, by tensor cores: as
// attention_split.cuh, and as exact. A warp takes 16 entries at a time for up to 8 query heads of a KV head. What a
// product of 16 x 16 and 16 x 8 has room for beside the 8 heads takes what rounding q and the weights to 16 bits left
// over: rows 0 to 7 are the rounded numbers, rows 8 to 15 the rests, and their products are added in the end.
//
// Nothing goes through shared memory on its way in. A product's inner dimension may be permuted if both sides are, so
// that lanes load 16 bytes as they lie and have what the product wants of them. With n dimensions in 16 bytes, lane
// 4 g + t has of keys dimensions n t to n t + n - 1 of every 4 n of entry g, and of values dimensions n g to
// n g + n - 1 of every 8 n of entries 2 t, 2 t + 1, 2 t + 8 and 2 t + 9 (in e4m3 of heads up to 64: n is 8 for values).
#pragma once

#include "backend/cuda/attention_elements.cuh"
#include "backend/cuda/attention_walk.cuh"
#include "backend/cuda/barrier.cuh"
#include "backend/cuda/launch.cuh"

namespace precis::cuda {

template <typename Element, int dims>
struct WarpKeys {
  static constexpr int bytes = DecodeElements<Element>::bytes;
  static constexpr int lane_dims = 16 / bytes;
  static constexpr int span_dims = 4 * lane_dims;

  // `addresses`: of the entries' keys.
  template <typename Addresses>
  __device__ void load(const Addresses& addresses, const WarpEntries& entries, int head_dim) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int index = 8 * half + group_lane();
      const bool seen = entries.sees(entries.first + index);
      const std::byte* key = addresses.at(index, seen);
#pragma unroll
      for (int span = 0; span < dims / span_dims; ++span) {
        const int dim = span_dims * span + lane_dims * quad_lane();
        if (seen && dim < head_dim) {
          of[half][span].load(key + bytes * dim);
        } else {
          of[half][span].clear();
        }
      }
    }
  }

  Words<4> of[2][dims / span_dims];  // [first or last 8 entries]
};

template <typename Element, int dims>
struct WarpValues {
  static constexpr int bytes = DecodeElements<Element>::bytes;
  static constexpr int lane_dims = 16 / bytes < dims / 8 ? 16 / bytes : dims / 8;
  static constexpr int span_dims = 8 * lane_dims;
  static constexpr int words = lane_dims * bytes / 4;

  template <typename Addresses>
  __device__ void load(const Addresses& addresses, std::int64_t value_offset, const WarpEntries& entries,
                       int head_dim) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int index = 2 * quad_lane() + i % 2 + i / 2 * 8;
      const bool seen = entries.sees(entries.first + index);
      const std::byte* value = addresses.at(index, seen) + value_offset;
#pragma unroll
      for (int span = 0; span < dims / span_dims; ++span) {
        const int dim = span_dims * span + lane_dims * group_lane();
        if (seen && dim < head_dim) {
          of[i][span].load(value + bytes * dim);
        } else {
          of[i][span].clear();
        }
      }
    }
  }

  Words<words> of[4][dims / span_dims];  // [entries 2 t, 2 t + 1, 2 t + 8, 2 t + 9]
};

// What up to 8 query heads of a row have attended to in a warp's entries of a stretch. Head g is with lanes 4 g to
// 4 g + 3.
template <typename Element, int dims>
class DecodeWarp {
  using Elements = DecodeElements<Element>;
  using Keys = WarpKeys<Element, dims>;
  using Values = WarpValues<Element, dims>;

 public:
  __device__ DecodeWarp(const AttentionBatch& batch, int row, int first_head, int head_count) {
    take(batch, row_queries(batch, row, false), first_head, head_count);
    clear();
  }

  // The queries of a row. Called by all lanes.
  __device__ void take(const AttentionBatch& batch, const float* queries, int first_head, int head_count) {
    const int head_dim = static_cast<int>(batch.kv.head_dim);
    const float* from = queries + (first_head + group_lane()) * head_dim;
    float q[steps][4];
    float most = 0;
#pragma unroll
    for (int step = 0; step < steps; ++step) {
      const int lane_dim = Keys::lane_dims * quad_lane() + 4 * step % Keys::lane_dims;
      const int dim = Keys::span_dims * (4 * step / Keys::lane_dims) + lane_dim;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        q[step][i] = group_lane() < head_count && dim < head_dim ? from[dim + i] * batch.scale : 0;
        most = fmaxf(most, fabsf(q[step][i]));
      }
    }
    most = fmaxf(most, __shfl_xor_sync(all_lanes, most, 1));
    most = fmaxf(most, __shfl_xor_sync(all_lanes, most, 2));
    const float factor = Elements::factor(most);
    inverse_ = Elements::inverse(most);
#pragma unroll
    for (int step = 0; step < steps; ++step) {
      Elements::split(q[step][0] * factor, q[step][1] * factor, q_[step][0], q_[step][1]);
      Elements::split(q[step][2] * factor, q[step][3] * factor, q_[step][2], q_[step][3]);
    }
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
  __device__ void score(const Keys& keys, const WarpEntries& entries, float (&scores)[2][2]) const {
    constexpr int step_words = Elements::bytes;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sums[4] = {};
#pragma unroll
      for (int step = 0; step < steps; ++step) {
        std::uint32_t b[2];
        Elements::of_key(keys.of[half][step_words * step / 4].of + step_words * step % 4, b[0], b[1]);
        Elements::multiply(sums, q_[step], b[0], b[1]);
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const bool seen = entries.sees(entries.first + 8 * half + 2 * quad_lane() + i);
        scores[half][i] = seen ? (sums[i] + sums[2 + i]) * inverse_ : -INFINITY;
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

  __device__ void add(const Values& values, const float (&weights)[2][2]) {
    constexpr float factor = Elements::weight_factor;
    constexpr int word_dims = 4 / Elements::bytes;
    std::uint32_t a[4];
    Elements::split(weights[0][0] * factor, weights[0][1] * factor, a[0], a[1]);
    Elements::split(weights[1][0] * factor, weights[1][1] * factor, a[2], a[3]);
#pragma unroll
    for (int span = 0; span < spans; ++span) {
#pragma unroll
      for (int word = 0; word < Values::words; ++word) {
        std::uint32_t first[word_dims];
        std::uint32_t last[word_dims];
        Elements::of_values(values.of[0][span].of[word], values.of[1][span].of[word], first);
        Elements::of_values(values.of[2][span].of[word], values.of[3][span].of[word], last);
#pragma unroll
        for (int i = 0; i < word_dims; ++i) Elements::multiply(out_[span][word_dims * word + i], a, first[i], last[i]);
      }
    }
  }

  // Into the warp's share; called by all lanes.
  __device__ void write(SplitShares<most_split_heads, dims>& shares) {
    const float sum = lane_sum<4>(sum_);
    const int warp = static_cast<int>(threadIdx.x) / warp_lanes;
    const int head = group_lane();
#pragma unroll
    for (int span = 0; span < spans; ++span) {
      float* to = &shares.out[warp][head][Values::span_dims * span + 2 * Values::lane_dims * quad_lane()];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int tile = 0; tile < Values::lane_dims; ++tile) {
          to[Values::lane_dims * i + tile] =
              (out_[span][tile][i] + out_[span][tile][2 + i]) * (1 / Elements::weight_factor);
        }
      }
    }
    if (quad_lane() == 0) {
      shares.most[warp][head] = most_;
      shares.sum[warp][head] = sum;
    }
  }

 private:
  static constexpr int steps = dims / 16;
  static constexpr int spans = dims / Values::span_dims;

  std::uint32_t q_[steps][4];               // times the scores' scale and the elements' factor
  float inverse_;                           // of that factor
  float out_[spans][Values::lane_dims][4];  // [a lane's dimensions: tiles]; times the factor of weights
  float most_;                              // the largest score so far
  float sum_;                               // of this lane's weights, relative to it
};

// Where warps put their shares of a stretch, two stretches in turn. Another warp each time adds them up while the
// others go on.
template <int dims>
struct ShareRing {
  using Shares = SplitShares<most_split_heads, dims>;

  // Called by one thread before all others go on.
  __device__ void make() {
#pragma unroll
    for (int place = 0; place < 2; ++place) {
      make_barrier(full[place], split_threads);
      make_barrier(taken[place], warp_lanes);
    }
  }

  // `turn`: stretches that the block has put here before.
  template <typename Put, typename Take>
  __device__ void pass(int turn, const Put& put, const Take& take) {
    const int place = turn % 2;
    const unsigned parity = turn / 2 % 2;
    if (turn >= 2) wait_for(taken[place], parity ^ 1U);
    put(shares[place]);
    arrive(full[place]);
    if (static_cast<int>(threadIdx.x) / warp_lanes != turn % split_warps) return;
    wait_for(full[place], parity);
    take(shares[place]);
    arrive(taken[place]);
  }

  Shares shares[2];
  Barrier full[2];
  Barrier taken[2];
};

// `begin`: gives a walk through the row's entries, at this warp's first ones.
template <typename Element, int dims, typename Tracks, typename Begin>
__device__ void attend_heads(const SplitArgs& args, const SplitRow& at, const Tracks& tracks, const Begin& begin,
                             int first_head, int head_count, ShareRing<dims>& ring, int& turn) {
  const AttentionBatch& batch = args.batch;
  const int head_dim = static_cast<int>(batch.kv.head_dim);
  auto walk = begin();
  const int count = walk.count();
  WarpKeys<Element, dims> keys;
  const auto load_keys = [&] { keys.load(tracks.keys(walk.entries()), walk.entries(), head_dim); };
  const bool begins_late = walk.waits();
  if (walk.stretch() < count && !begins_late) load_keys();
  DecodeWarp<Element, dims> warp(batch, at.row(), first_head, head_count);
  if (begins_late) {
    walk.wait();
    load_keys();
  }
  bool of_picked = false;  // the queries are those for what was picked
  for (int stretch = at.slot; stretch < count; stretch += args.slots, ++turn) {
    warp.clear();
    while (walk.stretch() == stretch) {
      const WarpEntries entries = walk.entries();
      WarpValues<Element, dims> values;
      values.load(tracks.keys(entries), batch.kv.value_offset, entries, head_dim);
      if (tracks.queries_differ() && entries.summary != of_picked) {
        of_picked = entries.summary;
        warp.take(batch, row_queries(batch, at.row(), of_picked), first_head, head_count);
      }
      float weights[2][2];
      warp.score(keys, entries, weights);
      walk.advance();
      // The next keys are on their way while these values come and are added, also past the stretch's end.
      const bool more = walk.stretch() < count;
      const bool waits = walk.waits();
      if (more && !waits) load_keys();
      warp.weigh(weights);
      warp.add(values, weights);
      if (!waits) continue;
      walk.wait();
      load_keys();
    }
    walk.wait();
    ring.pass(
        turn, [&](auto& shares) { warp.write(shares); },
        [&](const auto& shares) {
          write_stretch(args, shares, static_cast<int>(threadIdx.x) % warp_lanes, warp_lanes, at.in_launch(),
                        first_head, head_count, stretch);
        });
  }
}

// Grid: see SplitRow.
template <typename Element, int dims>
__global__ void __launch_bounds__(split_threads, DecodeElements<Element>::blocks)
    decode_kernel(const __grid_constant__ SplitArgs args) {
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
  const auto begin = [&] { return WarpWalk(stretches, at.slot, args.slots); };
  prefetch_first(tracks, batch.kv, begin());
  if (threadIdx.x == 0) ring.make();
  __syncthreads();
  wait_for_previous();
  const int group = batch.heads / static_cast<int>(batch.kv.kv_heads);
  int turn = 0;
  for (int in_group = 0; in_group < group; in_group += most_split_heads) {
    attend_heads<Element, dims>(args, at, tracks, begin, at.kv_head * group + in_group,
                                min(most_split_heads, group - in_group), ring, turn);
  }
  if (static_cast<int>(threadIdx.x) / warp_lanes == 0) prefetch_next(args);
  merge_if_last(args, at, stretches.count);
}

// Of heads up to 128, of whole 16 bytes.
template <typename Element>
void launch_decode(const SplitArgs& args, dim3 grid, cudaStream_t stream) {
  if (args.batch.kv.head_dim <= 64) {
    launch_early("decode_attention", decode_kernel<Element, 64>, grid, split_threads, stream, args);
  } else {
    launch_early("decode_attention", decode_kernel<Element, 128>, grid, split_threads, stream, args);
  }
}

}  // namespace precis::cuda
