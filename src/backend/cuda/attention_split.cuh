// Attention for rows of which there are few, in floats: a block computes stretches of one row's entries for the query
// heads of one KV head. Compiled for each type of K and V in a file of its own; attention_decode.cuh does most of bf16
// and e4m3.
#pragma once

#include <cuda_fp8.h>

#include "backend/cuda/attention_partial.cuh"
#include "backend/cuda/launch.cuh"

namespace precis::cuda {

// Dimensions of a head that a lane holds.
constexpr int lane_dims = 8;

// 8 elements of K or V as they lie in memory.
template <typename Element>
struct Elements;

template <>
struct Elements<__nv_bfloat16> {
  static constexpr int entries_at_once = 4;

  __device__ void load(const std::byte* from, int dim) { raw = *reinterpret_cast<const uint4*>(from + 2 * dim); }
  __device__ void clear() { raw = make_uint4(0, 0, 0, 0); }
  __device__ void read(float (&to)[lane_dims]) const {
    to[0] = first_bf16(raw.x);
    to[1] = second_bf16(raw.x);
    to[2] = first_bf16(raw.y);
    to[3] = second_bf16(raw.y);
    to[4] = first_bf16(raw.z);
    to[5] = second_bf16(raw.z);
    to[6] = first_bf16(raw.w);
    to[7] = second_bf16(raw.w);
  }

  uint4 raw;
};

template <>
struct Elements<__nv_fp8_e4m3> {
  static constexpr int entries_at_once = 4;

  __device__ void load(const std::byte* from, int dim) { raw = *reinterpret_cast<const uint2*>(from + dim); }
  __device__ void clear() { raw = make_uint2(0, 0); }
  __device__ void read(float (&to)[lane_dims]) const {
#pragma unroll
    for (int i = 0; i < lane_dims; i += 2) {
      const std::uint32_t word = i < lane_dims / 2 ? raw.x : raw.y;
      const auto two = static_cast<__nv_fp8x2_storage_t>(word >> (i % 4 * 8));
      const float2 values = __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2(two, __NV_E4M3)));
      to[i] = values.x;
      to[i + 1] = values.y;
    }
  }

  uint2 raw;
};

template <>
struct Elements<float> {
  static constexpr int entries_at_once = 2;

  __device__ void load(const std::byte* from, int dim) {
    low = *reinterpret_cast<const float4*>(from + 4 * dim);
    high = *reinterpret_cast<const float4*>(from + 4 * dim + 16);
  }
  __device__ void clear() { low = high = make_float4(0, 0, 0, 0); }
  __device__ void read(float (&to)[lane_dims]) const {
    to[0] = low.x;
    to[1] = low.y;
    to[2] = low.z;
    to[3] = low.w;
    to[4] = high.x;
    to[5] = high.y;
    to[6] = high.z;
    to[7] = high.w;
  }

  float4 low;
  float4 high;
};

// What `heads` query heads of a row have attended to so far. A team of `lanes` neighbours holds a head's dimensions;
// each team sees every (teams)th entry.
template <typename Element, int lanes, int heads>
struct SplitState {
  static constexpr int warp_teams = warp_lanes / lanes;
  static constexpr int teams = split_warps * warp_teams;
  static constexpr int dims = lanes * lane_dims;

  __device__ SplitState(const AttentionBatch& batch, int row, int first_head, int head_count)
      : dim(static_cast<int>(threadIdx.x) % lanes * lane_dims), holds(dim < batch.kv.head_dim) {
    take(batch, row_queries(batch, row, false), first_head, head_count);
    clear();
  }

  // The queries of a row.
  __device__ void take(const AttentionBatch& batch, const float* queries, int first_head, int head_count) {
#pragma unroll
    for (int h = 0; h < heads; ++h) {
      const float* from = queries + (first_head + h) * batch.kv.head_dim + dim;
#pragma unroll
      for (int i = 0; i < lane_dims; ++i) q[h][i] = holds && h < head_count ? from[i] * batch.scale : 0;
    }
  }

  __device__ void clear() {
#pragma unroll
    for (int h = 0; h < heads; ++h) {
      most[h] = no_score;
      sum[h] = 0;
#pragma unroll
      for (int i = 0; i < lane_dims; ++i) out[h][i] = 0;
    }
  }

  __device__ void attend(const TrackKeys& keys, std::int64_t value_offset, const Bounds& bounds) {
    if (bounds.low >= bounds.high) return;
    Batch batch = load(keys, value_offset, bounds, bounds.low);
    for (int begin = bounds.low; begin < bounds.high; begin += teams * at_once) {
      // The next ones are on their way while these are computed.
      const Batch next = load(keys, value_offset, bounds, begin + teams * at_once);
      float weights[at_once][heads];
      score(batch.k, batch.seen, weights);
      weigh(weights);
      add(batch.v, weights);
      batch = next;
    }
  }

  // Of all teams of the warp, into the first one.
  __device__ void merge_warp() {
#pragma unroll
    for (int distance = lanes; distance < warp_lanes; distance *= 2) {
#pragma unroll
      for (int h = 0; h < heads; ++h) {
        const float other_most = __shfl_xor_sync(all_lanes, most[h], distance);
        const float other_sum = __shfl_xor_sync(all_lanes, sum[h], distance);
        const float new_most = fmaxf(most[h], other_most);
        const float own = exp2f(most[h] - new_most);
        const float other = exp2f(other_most - new_most);
        most[h] = new_most;
        sum[h] = sum[h] * own + other_sum * other;
#pragma unroll
        for (int i = 0; i < lane_dims; ++i) {
          const float other_out = __shfl_xor_sync(all_lanes, out[h][i], distance);
          out[h][i] = out[h][i] * own + other_out * other;
        }
      }
    }
  }

  float q[heads][lane_dims];  // times the scores' scale
  float out[heads][lane_dims];
  float most[heads];  // the largest score so far
  float sum[heads];   // of weights, relative to it
  int dim;            // this lane's first
  bool holds;         // whether the head has that dimension

 private:
  static constexpr int at_once = Elements<Element>::entries_at_once;

  // Entries of this team, those from the interval's end on as zeros.
  struct Batch {
    Elements<Element> k[at_once];
    Elements<Element> v[at_once];
    bool seen[at_once];
  };

  __device__ Batch load(const TrackKeys& keys, std::int64_t value_offset, const Bounds& bounds, int begin) const {
    const int team = static_cast<int>(threadIdx.x) / lanes;
    Batch batch;
#pragma unroll
    for (int e = 0; e < at_once; ++e) {
      const int entry = begin + e * teams + team;
      batch.seen[e] = entry < bounds.high;
      if (batch.seen[e] && holds) {
        const std::byte* key = keys.key(entry);
        batch.k[e].load(key, dim);
        batch.v[e].load(key + value_offset, dim);
      } else {
        batch.k[e].clear();
        batch.v[e].clear();
      }
    }
    return batch;
  }

  __device__ void score(const Elements<Element> (&k)[at_once], const bool (&seen)[at_once],
                        float (&scores)[at_once][heads]) const {
#pragma unroll
    for (int e = 0; e < at_once; ++e) {
      float values[lane_dims];
      k[e].read(values);
#pragma unroll
      for (int h = 0; h < heads; ++h) {
        float dot = 0;
#pragma unroll
        for (int i = 0; i < lane_dims; ++i) dot = fmaf(q[h][i], values[i], dot);
        dot = lane_sum<lanes>(dot);
        scores[e][h] = seen[e] ? dot : -INFINITY;
      }
    }
  }

  // Scores -> weights relative to the largest score so far.
  __device__ void weigh(float (&scores)[at_once][heads]) {
#pragma unroll
    for (int h = 0; h < heads; ++h) {
      float new_most = most[h];
#pragma unroll
      for (int e = 0; e < at_once; ++e) new_most = fmaxf(new_most, scores[e][h]);
      const float fall = exp2f(most[h] - new_most);
      most[h] = new_most;
      sum[h] *= fall;
#pragma unroll
      for (int i = 0; i < lane_dims; ++i) out[h][i] *= fall;
#pragma unroll
      for (int e = 0; e < at_once; ++e) {
        scores[e][h] = exp2f(scores[e][h] - new_most);
        sum[h] += scores[e][h];
      }
    }
  }

  __device__ void add(const Elements<Element> (&v)[at_once], const float (&weights)[at_once][heads]) {
#pragma unroll
    for (int e = 0; e < at_once; ++e) {
      float values[lane_dims];
      v[e].read(values);
#pragma unroll
      for (int h = 0; h < heads; ++h) {
#pragma unroll
        for (int i = 0; i < lane_dims; ++i) out[h][i] = fmaf(weights[e][h], values[i], out[h][i]);
      }
    }
  }
};

// Grid: see SplitRow.
template <typename Element, int lanes, int heads>
__global__ void __launch_bounds__(split_threads) split_kernel(const __grid_constant__ SplitArgs args) {
  using State = SplitState<Element, lanes, heads>;
  __shared__ SplitShares<heads, State::dims> shares;
  let_next_begin();
  wait_for_previous();
  const SplitRow at(args);
  if (!at.exists()) return;
  const AttentionBatch& batch = args.batch;
  const RowRun run = batch.runs[at.piece.run];
  const Stretches stretches(batch.bounds[at.row()]);
  if (at.slot >= stretches.count) return;
  const TrackKeys summaries = summary_keys(batch, run, at.kv_head);
  const TrackKeys texts(batch, run.text, at.kv_head);
  const bool queries_differ = run.picked && batch.picked_q != nullptr;
  const int group = batch.heads / static_cast<int>(batch.kv.kv_heads);
  for (int in_group = 0; in_group < group; in_group += heads) {
    const int first_head = at.kv_head * group + in_group;
    const int head_count = min(heads, group - in_group);
    State state(batch, at.row(), first_head, head_count);
    for (int stretch = at.slot; stretch < stretches.count; stretch += args.slots) {
      state.clear();
      if (queries_differ) state.take(batch, row_queries(batch, at.row(), true), first_head, head_count);
      state.attend(summaries, batch.kv.value_offset, stretches.summary_of(stretch));
      if (queries_differ) state.take(batch, row_queries(batch, at.row(), false), first_head, head_count);
      state.attend(texts, batch.kv.value_offset, stretches.text_of(stretch));
      state.merge_warp();
      __syncthreads();  // the shares of the stretch before are written out
      const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
      const int warp = static_cast<int>(threadIdx.x) / warp_lanes;
      if (lane < lanes) {
#pragma unroll
        for (int h = 0; h < heads; ++h) {
#pragma unroll
          for (int i = 0; i < lane_dims; ++i) shares.out[warp][h][state.dim + i] = state.out[h][i];
          if (lane == 0) {
            shares.most[warp][h] = state.most[h];
            shares.sum[warp][h] = state.sum[h];
          }
        }
      }
      __syncthreads();
      write_stretch(args, shares, static_cast<int>(threadIdx.x), split_threads, at.in_launch(), first_head, head_count,
                    stretch);
    }
  }
  merge_if_last(args, at, stretches.count);
}

template <typename Element, int lanes>
void launch_split_lanes(const SplitArgs& args, dim3 grid, cudaStream_t stream) {
  const std::int64_t group = args.batch.heads / args.batch.kv.kv_heads;
  if (group == 1) {
    launch_early("split_attention", split_kernel<Element, lanes, 1>, grid, split_threads, stream, args);
  } else if (group <= 4) {
    launch_early("split_attention", split_kernel<Element, lanes, 4>, grid, split_threads, stream, args);
  } else {
    launch_early("split_attention", split_kernel<Element, lanes, most_split_heads>, grid, split_threads, stream, args);
  }
}

// Of heads of any size.
template <typename Element>
void launch_split_heads(const SplitArgs& args, dim3 grid, cudaStream_t stream) {
  const std::int64_t dim = args.batch.kv.head_dim;
  if (dim <= 8 * lane_dims) {
    launch_split_lanes<Element, 8>(args, grid, stream);
  } else if (dim <= 16 * lane_dims) {
    launch_split_lanes<Element, 16>(args, grid, stream);
  } else {
    launch_split_lanes<Element, 32>(args, grid, stream);
  }
}

}  // namespace precis::cuda
