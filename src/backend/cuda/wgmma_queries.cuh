// Scores, weights and outputs of a warpgroup's queries (attention_wgmma.cu), which are all in registers.
#pragma once

#include "backend/cuda/wgmma_memory.cuh"

namespace precis::cuda {

// What a warpgroup's 64 queries have attended to so far. A thread has two of the queries, lane / 4 of its warp's 16 and
// the one 8 further, and of both, of each 8 entries or dimensions, 2 (lane % 4) and the next.
template <int head_dim>
class GroupQueries {
  using S = WgmmaShape<head_dim>;

 public:
  __device__ __forceinline__ explicit GroupQueries(float scale) : scale_(scale) {
#pragma unroll
    for (int i = 0; i < head_dim / 2; ++i) out_[i] = 0;
  }

  // Begins to compute scores of the queries at `q` and the keys at `k`.
  __device__ __forceinline__ void begin_scores(std::uint64_t q, std::uint64_t k) {
    hold(scores_);
    fence_products();
#pragma unroll
    for (int d = 0; d < head_dim; d += 16) {
      const int column = d / column_dims;
      const int within = 2 * (d % column_dims);
      multiply_add_async(scores_, q + operand_step(column * S::query_column_bytes + within),
                         k + operand_step(column * S::column_bytes + within), d == 0 ? 0 : 1);
    }
    commit_products();
  }
  __device__ __forceinline__ void hold_scores() {
    hold(scores_);
  }

  // Begins to add up the values at `v` by the weights.
  __device__ __forceinline__ void begin_outputs(std::uint64_t v) {
    hold(out_);
    fence_products();
#pragma unroll
    for (int e = 0; e < S::entries; e += 16) {
      multiply_add_async(out_, weights_ + e / 4, v + operand_step(e * column_dims * 2));
    }
    commit_products();
  }
  __device__ __forceinline__ void hold_outputs() {
    hold(out_);
    hold(weights_);
  }

  // Leaves out what the queries do not see. `bounds`: theirs, counted from the block's first entry.
  __device__ __forceinline__ void mask(const Bounds (&bounds)[2]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int low = bounds[half].low - 2 * (lane() % 4);
      const auto count = static_cast<unsigned>(max(bounds[half].high - bounds[half].low, 0));
#pragma unroll
      for (int n = 0; n < S::entries / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& score = scores_[4 * n + 2 * half + i];
          if (static_cast<unsigned>(8 * n + i - low) >= count) score = -INFINITY;
        }
      }
    }
  }

  // Scores -> weights relative to the largest score so far, in floats. Two sums a query, and both queries at once: a
  // warpgroup has one warp on each scheduler, which waits for what depends on the number before.
  __device__ __forceinline__ void weigh() {
    float most[2][2] = {{most_[0], most_[0]}, {most_[1], most_[1]}};
#pragma unroll
    for (int i = 0; i < S::entries / 2; i += 2) {
      float& largest = most[i / 2 % 2][i / 4 % 2];
      largest = fmaxf(largest, fmaxf(scores_[i], scores_[i + 1]));
    }
    float scaled_most[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float largest = fmaxf(most[half][0], most[half][1]);
      largest = fmaxf(largest, __shfl_xor_sync(all_lanes, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(all_lanes, largest, 2));
      fall_[half] = power_of_two((most_[half] - largest) * scale_);
      most_[half] = largest;
      scaled_most[half] = largest * scale_;
    }
    float sum[2][2] = {};
#pragma unroll
    for (int i = 0; i < S::entries / 2; ++i) {
      const int half = i / 2 % 2;
      scores_[i] = power_of_two(fmaf(scores_[i], scale_, -scaled_most[half]));
      sum[half][i % 2] += scores_[i];
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) sum_[half] = sum_[half] * fall_[half] + (sum[half][0] + sum[half][1]);
  }

  // Outputs so far become relative to the same score.
  __device__ __forceinline__ void rescale() {
#pragma unroll
    for (int i = 0; i < head_dim / 2; ++i) out_[i] *= fall_[i / 2 % 2];
  }

  __device__ __forceinline__ void round_weights() {
#pragma unroll
    for (int i = 0; i < S::entries / 4; ++i) weights_[i] = pair_of(scores_[2 * i], scores_[2 * i + 1]);
  }

  // Calls write(half, dimension, value of it, value of the next one).
  template <typename Write>
  __device__ __forceinline__ void for_outputs(const Write& write) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float share = 1 / lane_sum<4>(sum_[half]);
#pragma unroll
      for (int n = 0; n < head_dim / 8; ++n) {
        write(half, 8 * n + 2 * (lane() % 4), out_[4 * n + 2 * half] * share, out_[4 * n + 2 * half + 1] * share);
      }
    }
  }

  static __device__ __forceinline__ int lane() {
    return static_cast<int>(threadIdx.x) % warp_lanes;
  }

 private:
  float scale_;
  float out_[head_dim / 2];
  float scores_[S::entries / 2];
  std::uint32_t weights_[S::entries / 4];
  float most_[2] = {no_score, no_score};
  float sum_[2] = {0, 0};
  float fall_[2] = {1, 1};
};

}  // namespace precis::cuda
