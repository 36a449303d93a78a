// What blocks that attend to split rows have in common: the warps' shares of a stretch, and the merging of a row's
// stretches by whichever block ends last.
#pragma once

#include "backend/cuda/attention_view.cuh"
#include "backend/cuda/numbers.cuh"

namespace precis::cuda {

constexpr int split_warps = 4;
constexpr int split_threads = split_warps * warp_lanes;
// A score that every other one outweighs; finite, so that no difference of two is no number.
constexpr float no_score = -1e30F;
// Stretches that a lane weighs.
constexpr int lane_stretches = most_stretches / warp_lanes;
static_assert(most_stretches % warp_lanes == 0);

// The warps' shares of a stretch.
template <int heads, int dims>
struct alignas(16) SplitShares {
  float out[split_warps][heads][dims];
  float most[split_warps][heads];
  float sum[split_warps][heads];
};

// The row that a block of a split launch computes for one KV head. Grid: (slots * kv_heads, rows of a piece, pieces);
// the stretches of a row are divided among the slots.
struct SplitRow {
  __device__ explicit SplitRow(const SplitArgs& args)
      : piece(args.batch.pieces[blockIdx.z]),
        in_piece(static_cast<int>(blockIdx.y)),
        kv_head(static_cast<int>(blockIdx.x) % static_cast<int>(args.batch.kv.kv_heads)),
        slot(static_cast<int>(blockIdx.x) / static_cast<int>(args.batch.kv.kv_heads)) {}

  __device__ bool exists() const { return in_piece < piece.rows; }
  __device__ int row() const { return piece.row + in_piece; }
  __device__ int in_launch() const { return piece.at + in_piece; }

  const AttentionPiece& piece;
  int in_piece;
  int kv_head;
  int slot;
};

// Where the partial results of a row's query head begin: index of its first stretch.
__device__ inline std::int64_t first_partial(const SplitArgs& args, int in_launch, int head) {
  return (static_cast<std::int64_t>(in_launch) * args.batch.heads + head) * args.stretches;
}

// Adds up the warps' shares in their order and writes the stretch's partial result. Called by `threads` threads, of
// which this is number `thread`.
template <int heads, int dims>
__device__ void write_stretch(const SplitArgs& args, const SplitShares<heads, dims>& shares, int thread, int threads,
                              int in_launch, int first_head, int head_count, int stretch) {
  const int head_dim = static_cast<int>(args.batch.kv.head_dim);
  for (int index = 4 * thread; index < head_count * head_dim; index += 4 * threads) {
    const int h = index / head_dim;
    const int i = index % head_dim;
    float most = shares.most[0][h];
#pragma unroll
    for (int warp = 1; warp < split_warps; ++warp) most = fmaxf(most, shares.most[warp][h]);
    float4 out = make_float4(0, 0, 0, 0);
    float sum = 0;
#pragma unroll
    for (int warp = 0; warp < split_warps; ++warp) {
      const float weight = exp2f(shares.most[warp][h] - most);
      const float4 share = *reinterpret_cast<const float4*>(&shares.out[warp][h][i]);
      out.x = fmaf(weight, share.x, out.x);
      out.y = fmaf(weight, share.y, out.y);
      out.z = fmaf(weight, share.z, out.z);
      out.w = fmaf(weight, share.w, out.w);
      sum = fmaf(weight, shares.sum[warp][h], sum);
    }
    const std::int64_t at = first_partial(args, in_launch, first_head + h) + stretch;
    *reinterpret_cast<float4*>(args.outputs + at * head_dim + i) = out;
    if (i == 0) {
      args.sums[2 * at] = most;
      args.sums[2 * at + 1] = sum;
    }
  }
}

// The weights of a query head's stretches: lane i has those of stretches i, i + 32, ...
struct StretchWeights {
  __device__ StretchWeights(const float* sums, int count) {
    const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
    float most[lane_stretches];
    float sum[lane_stretches];
    float largest = no_score;
#pragma unroll
    for (int i = 0; i < lane_stretches; ++i) {
      const int stretch = lane + i * warp_lanes;
      const float2 pair =
          stretch < count ? __ldcg(reinterpret_cast<const float2*>(sums) + stretch) : make_float2(no_score, 0);
      most[i] = pair.x;
      sum[i] = pair.y;
      largest = fmaxf(largest, most[i]);
    }
#pragma unroll
    for (int distance = warp_lanes / 2; distance > 0; distance /= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(all_lanes, largest, distance));
    }
    total = 0;
#pragma unroll
    for (int i = 0; i < lane_stretches; ++i) {
      of[i] = exp2f(most[i] - largest);
      total += of[i] * sum[i];
    }
    total = lane_sum(total);
  }

  float of[lane_stretches];
  float total;
};

// The stretches of a query head, added up in their order by one warp. What others wrote is read past the first-level
// cache.
__device__ inline void merge_head(const SplitArgs& args, int in_launch, int row, int head, int count) {
  constexpr int lane_dims = 4;
  const int head_dim = static_cast<int>(args.batch.kv.head_dim);
  const std::int64_t first = first_partial(args, in_launch, head);
  const StretchWeights weights(args.sums + 2 * first, count);
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
  float* out = args.batch.out + (static_cast<std::int64_t>(row) * args.batch.heads + head) * head_dim;
  for (int begin = 0; begin < head_dim; begin += lane_dims * warp_lanes) {
    const int dim = begin + lane_dims * lane;
    const float* outputs = args.outputs + first * head_dim + dim;
    float4 value = make_float4(0, 0, 0, 0);
#pragma unroll
    for (int i = 0; i < lane_stretches; ++i) {
      if (i * warp_lanes >= count) break;
#pragma unroll 16
      for (int other = 0; other < warp_lanes; ++other) {
        const int stretch = i * warp_lanes + other;
        const float weight = __shfl_sync(all_lanes, weights.of[i], other);
        if (stretch >= count || dim >= head_dim) continue;
        const float4 part =
            __ldcg(reinterpret_cast<const float4*>(outputs + static_cast<std::int64_t>(stretch) * head_dim));
        value.x = fmaf(weight, part.x, value.x);
        value.y = fmaf(weight, part.y, value.y);
        value.z = fmaf(weight, part.z, value.z);
        value.w = fmaf(weight, part.w, value.w);
      }
    }
    if (dim >= head_dim) continue;
    value =
        make_float4(value.x / weights.total, value.y / weights.total, value.z / weights.total, value.w / weights.total);
    *reinterpret_cast<float4*>(out + dim) = value;
    if (args.rounded == nullptr) continue;
    auto* rounded = static_cast<__nv_bfloat16*>(args.rounded) + (out - args.batch.out) + dim;
    auto* pairs = reinterpret_cast<__nv_bfloat162*>(rounded);
    pairs[0] = __floats2bfloat162_rn(value.x, value.y);
    pairs[1] = __floats2bfloat162_rn(value.z, value.w);
  }
}

// Called by all threads of a block that has written its stretches of a row; the last of the row's blocks for this KV
// head merges them all. Counters are 0 before a launch and after it.
__device__ inline void merge_if_last(const SplitArgs& args, const SplitRow& at, int count) {
  __shared__ bool is_last;
  const int blocks = min(args.slots, count);
  __syncthreads();
  if (blocks > 1) {
    if (threadIdx.x == 0) {
      is_last = count_block(args.counters + at.in_launch() * args.batch.kv.kv_heads + at.kv_head, blocks);
    }
    __syncthreads();
    if (!is_last) return;
  }
  const int group = args.batch.heads / static_cast<int>(args.batch.kv.kv_heads);
  for (int head = static_cast<int>(threadIdx.x) / warp_lanes; head < group; head += split_warps) {
    merge_head(args, at.in_launch(), at.row(), at.kv_head * group + head, count);
  }
}

}  // namespace precis::cuda
