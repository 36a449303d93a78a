// The stretches of split rows -> their outputs.
#include "backend/cuda/attention_split.cuh"

namespace precis::cuda {
namespace {

constexpr int merge_threads = 128;

// Grid: (heads, rows of a piece, pieces). Stretches are added in their order.
__global__ void __launch_bounds__(merge_threads) merge_kernel(const __grid_constant__ SplitArgs args) {
  __shared__ float weights[most_stretches];
  const AttentionBatch& batch = args.batch;
  const AttentionPiece& piece = batch.pieces[blockIdx.z];
  const int in_piece = static_cast<int>(blockIdx.y);
  if (in_piece >= piece.rows) return;
  const int head = static_cast<int>(blockIdx.x);
  const int row = batch.runs[piece.run].first_row + piece.first + in_piece;
  const int count = Stretches(batch.bounds[row]).count;
  const std::int64_t first = (static_cast<std::int64_t>(piece.at + in_piece) * batch.heads + head) * args.stretches;
  const float* sums = args.sums + 2 * first;
  float most = sums[0];
  for (int stretch = 1; stretch < count; ++stretch) most = fmaxf(most, sums[2 * stretch]);
  for (int stretch = static_cast<int>(threadIdx.x); stretch < count; stretch += merge_threads) {
    weights[stretch] = exp2f(sums[2 * stretch] - most);
  }
  __syncthreads();
  float total = 0;
  for (int stretch = 0; stretch < count; ++stretch) total = fmaf(weights[stretch], sums[2 * stretch + 1], total);
  const int head_dim = static_cast<int>(batch.kv.head_dim);
  float* out = batch.out + (static_cast<std::int64_t>(row) * batch.heads + head) * head_dim;
  for (int i = static_cast<int>(threadIdx.x); i < head_dim; i += merge_threads) {
    const float* outputs = args.outputs + first * head_dim + i;
    float value = 0;
#pragma unroll 4
    for (int stretch = 0; stretch < count; ++stretch)
      value = fmaf(weights[stretch], outputs[stretch * head_dim], value);
    out[i] = value / total;
  }
}

}  // namespace

void launch_split_attention(const SplitArgs& args, cudaStream_t stream) {
  if (args.batch.kv.type == DType::f32) {
    launch_split_f32(args, stream);
  } else {
    launch_split_bf16(args, stream);
  }
  const dim3 grid(static_cast<unsigned>(args.batch.heads), static_cast<unsigned>(args.most_rows),
                  static_cast<unsigned>(args.batch.count));
  merge_kernel<<<grid, merge_threads, 0, stream>>>(args);
  check_launch("merge_attention");
}

}  // namespace precis::cuda
