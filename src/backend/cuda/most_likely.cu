// The largest logit of each row.
#include <algorithm>

#include "backend/cuda/check.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/logit_key.cuh"
#include "backend/cuda/numbers.cuh"

namespace precis::cuda {
namespace {

constexpr int threads = 256;
constexpr int warps = threads / warp_lanes;

// Every thread of the first warp gets the largest key of the block.
__device__ inline unsigned long long block_largest(unsigned long long key) {
  __shared__ unsigned long long shared[warps];
  key = warp_largest(key);
  if (threadIdx.x % warp_lanes == 0) shared[threadIdx.x / warp_lanes] = key;
  __syncthreads();
#pragma unroll
  for (const unsigned long long other : shared) key = max(key, other);
  return key;
}

// Grid: (blocks of a row, rows). The last block of a row to end writes its id. `keys`: [rows, blocks of a row];
// `counters`: [rows], 0 before and after.
__global__ void __launch_bounds__(threads)
    most_likely_kernel(const float* logits, std::int64_t vocabulary, unsigned long long* keys, std::int32_t* counters,
                       std::int32_t* ids) {
  __shared__ bool is_last;
  let_next_begin();
  wait_for_previous();
  const int row = static_cast<int>(blockIdx.y);
  const int blocks = static_cast<int>(gridDim.x);
  const float* from = logits + row * vocabulary;
  unsigned long long key = 0;
#pragma unroll 8
  for (int id = static_cast<int>(blockIdx.x * threads + threadIdx.x); id < vocabulary; id += blocks * threads) {
    key = max(key, key_of(from[id], id));
  }
  key = block_largest(key);
  if (threadIdx.x == 0) {
    keys[row * blocks + blockIdx.x] = key;
    is_last = count_block(counters + row, blocks);
  }
  __syncthreads();
  if (!is_last) return;
  key = static_cast<int>(threadIdx.x) < blocks ? __ldcg(keys + row * blocks + threadIdx.x) : 0;
  key = block_largest(key);
  if (threadIdx.x == 0) ids[row] = key == 0 ? 0 : id_of(key);
}

}  // namespace

void launch_most_likely(const MostLikelyArgs& args, unsigned long long* keys, std::int32_t* counters,
                        cudaStream_t stream) {
  constexpr std::int64_t most_rows = 65535;  // of a grid
  for (std::int64_t row = 0; row < args.rows; row += most_rows) {
    const dim3 grid(most_likely_blocks, static_cast<unsigned>(std::min(most_rows, args.rows - row)));
    launch_early("most_likely", most_likely_kernel, grid, threads, stream, args.logits + row * args.vocabulary,
                 args.vocabulary, keys, counters, args.ids + row);
  }
}

}  // namespace precis::cuda
