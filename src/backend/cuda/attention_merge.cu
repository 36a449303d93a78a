// The stretches of split rows -> their outputs.
#include "backend/cuda/attention_split.cuh"

namespace precis::cuda {
namespace {

constexpr int merge_warps = 4;
constexpr int merge_threads = merge_warps * warp_lanes;
static_assert(most_stretches <= merge_threads);
// Dimensions that a lane holds, and a warp.
constexpr int lane_outputs = 4;
constexpr int warp_outputs = lane_outputs * warp_lanes;

// The weight of each stretch, and the sum of all; called by all threads.
__device__ float weigh_stretches(const float* sums, int count, float* weights) {
  __shared__ float shared[2][merge_warps];
  const int stretch = static_cast<int>(threadIdx.x);
  const float own_most = stretch < count ? sums[2 * stretch] : no_score;
  const float own_sum = stretch < count ? sums[2 * stretch + 1] : 0;
  float most = own_most;
#pragma unroll
  for (int distance = warp_lanes / 2; distance > 0; distance /= 2) {
    most = fmaxf(most, __shfl_xor_sync(all_lanes, most, distance));
  }
  if (threadIdx.x % warp_lanes == 0) shared[0][threadIdx.x / warp_lanes] = most;
  __syncthreads();
#pragma unroll
  for (int warp = 0; warp < merge_warps; ++warp) most = fmaxf(most, shared[0][warp]);
  const float weight = stretch < count ? exp2f(own_most - most) : 0;
  if (stretch < count) weights[stretch] = weight;
  return block_sum<merge_warps>(weight * own_sum, shared[1]);
}

// Grid: (heads, rows of a piece, pieces). Each warp adds up every fourth stretch in order, and then the warps are
// added.
__global__ void __launch_bounds__(merge_threads) merge_kernel(const __grid_constant__ SplitArgs args) {
  __shared__ float weights[most_stretches];
  __shared__ float4 parts[merge_warps][warp_lanes];
  let_next_begin();
  wait_for_previous();
  const AttentionBatch& batch = args.batch;
  const AttentionPiece& piece = batch.pieces[blockIdx.z];
  const int in_piece = static_cast<int>(blockIdx.y);
  if (in_piece >= piece.rows) return;
  const int head = static_cast<int>(blockIdx.x);
  const int row = batch.runs[piece.run].first_row + piece.first + in_piece;
  const int count = Stretches(batch.bounds[row]).count;
  const std::int64_t first = (static_cast<std::int64_t>(piece.at + in_piece) * batch.heads + head) * args.stretches;
  const float total = weigh_stretches(args.sums + 2 * first, count, weights);
  const int head_dim = static_cast<int>(batch.kv.head_dim);
  float* out = batch.out + (static_cast<std::int64_t>(row) * batch.heads + head) * head_dim;
  const int warp = static_cast<int>(threadIdx.x) / warp_lanes;
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
  for (int dim = lane_outputs * lane; dim - lane_outputs * lane < head_dim; dim += warp_outputs) {
    float4 value = make_float4(0, 0, 0, 0);
    if (dim < head_dim) {
      const float* outputs = args.outputs + first * head_dim + dim;
#pragma unroll 8
      for (int stretch = warp; stretch < count; stretch += merge_warps) {
        const float4 part = *reinterpret_cast<const float4*>(outputs + static_cast<std::int64_t>(stretch) * head_dim);
        const float weight = weights[stretch];
        value.x = fmaf(weight, part.x, value.x);
        value.y = fmaf(weight, part.y, value.y);
        value.z = fmaf(weight, part.z, value.z);
        value.w = fmaf(weight, part.w, value.w);
      }
    }
    parts[warp][lane] = value;
    __syncthreads();
    if (warp == 0 && dim < head_dim) {
#pragma unroll
      for (int other = 1; other < merge_warps; ++other) {
        const float4 part = parts[other][lane];
        value.x += part.x;
        value.y += part.y;
        value.z += part.z;
        value.w += part.w;
      }
      *reinterpret_cast<float4*>(out + dim) =
          make_float4(value.x / total, value.y / total, value.z / total, value.w / total);
    }
    __syncthreads();  // before parts are written again
  }
}

}  // namespace

void launch_split_attention(const SplitArgs& args, cudaStream_t stream) {
  if (args.batch.kv.type == DType::f32) {
    launch_split_f32(args, stream);
  } else if (args.batch.kv.type == DType::f8_e4m3) {
    launch_split_f8(args, stream);
  } else {
    launch_split_bf16(args, stream);
  }
  const dim3 grid(static_cast<unsigned>(args.batch.heads), static_cast<unsigned>(args.most_rows),
                  static_cast<unsigned>(args.batch.count));
  launch_early("merge_attention", merge_kernel, grid, merge_threads, stream, args);
}

}  // namespace precis::cuda
