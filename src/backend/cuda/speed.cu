#include "backend/cuda/check.h"
#include "backend/cuda/numbers.cuh"
#include "backend/cuda/speed.h"

namespace precis::cuda {
namespace {

constexpr int threads = 512;
constexpr int loads = 8;  // on their way at once
constexpr int fill_blocks = 1024;

__global__ void __launch_bounds__(threads) sum_kernel(const uint4* from, std::int64_t quads, std::uint32_t* sum) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * threads;
  std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  std::uint32_t own = 0;
  for (; at + (loads - 1) * step < quads; at += loads * step) {
    uint4 quad[loads];
#pragma unroll
    for (int i = 0; i < loads; ++i) quad[i] = __ldcs(from + at + i * step);
#pragma unroll
    for (int i = 0; i < loads; ++i) own += quad[i].x + quad[i].y + quad[i].z + quad[i].w;
  }
  for (; at < quads; at += step) {
    const uint4 quad = from[at];
    own += quad.x + quad.y + quad.z + quad.w;
  }
  own = __reduce_add_sync(all_lanes, own);
  if (threadIdx.x % warp_lanes == 0) atomicAdd(sum, own);  // of integers: any order gives the same
}

__global__ void fill_kernel(std::uint16_t* to, std::int64_t count) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * threads;
  for (std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x; at < count; at += step) {
    const std::uint32_t mixed = static_cast<std::uint32_t>(at) * 2654435761U;
    const float value = static_cast<float>(mixed >> 8) * 0x1p-23F - 1;
    to[at] = static_cast<std::uint16_t>(__float_as_uint(value) >> 16);
  }
}

}  // namespace

void launch_sum_words(const std::uint32_t* from, std::int64_t words, std::uint32_t* sum, cudaStream_t stream) {
  int device = 0;
  int processors = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
  sum_kernel<<<static_cast<unsigned>(4 * processors), threads, 0, stream>>>(reinterpret_cast<const uint4*>(from),
                                                                            words / 4, sum);
  check_launch("sum_words");
}

void launch_fill(std::uint16_t* to, std::int64_t count, cudaStream_t stream) {
  fill_kernel<<<fill_blocks, threads, 0, stream>>>(to, count);
  check_launch("fill");
}

}  // namespace precis::cuda
