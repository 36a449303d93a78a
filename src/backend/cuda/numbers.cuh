// Sums and conversions that several kernels share.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace precis::cuda {

constexpr int warp_lanes = 32;
constexpr unsigned all_lanes = 0xffffffffU;

// Every lane gets the sum over groups of `lanes` neighbours, in an order that is always the same.
template <int lanes = warp_lanes>
__device__ inline float lane_sum(float value) {
#pragma unroll
  for (int distance = lanes / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(all_lanes, value, distance);
  return value;
}

// Every thread gets the sum over a block of `warps` warps. `shared` has [warps] floats, and nobody may be reading it.
template <int warps>
__device__ inline float block_sum(float value, float* shared) {
  value = lane_sum(value);
  if (threadIdx.x % warp_lanes == 0) shared[threadIdx.x / warp_lanes] = value;
  __syncthreads();
  float sum = shared[0];
#pragma unroll
  for (int warp = 1; warp < warps; ++warp) sum += shared[warp];
  return sum;
}

// The floats of two bf16 in one word; the first one is the lower half.
__device__ inline float first_bf16(std::uint32_t word) {
  return __uint_as_float(word << 16);
}
__device__ inline float second_bf16(std::uint32_t word) {
  return __uint_as_float(word & 0xffff0000U);
}

__device__ inline float2 halves(std::uint32_t word) {
  return __half22float2(*reinterpret_cast<const __half2*>(&word));
}

__device__ inline float half_at(const std::uint16_t* at) {
  return __half2float(__ushort_as_half(__ldg(at)));
}

template <typename Pair>
__device__ inline Pair rounded_pair(float first, float second);
template <>
__device__ inline __half2 rounded_pair<__half2>(float first, float second) {
  return __floats2half2_rn(first, second);
}
template <>
__device__ inline __nv_bfloat162 rounded_pair<__nv_bfloat162>(float first, float second) {
  return __floats2bfloat162_rn(first, second);
}

// g / (1 + e^-g) * up
__device__ inline float gated(float gate, float up) {
  return gate / (1.0F + expf(-gate)) * up;
}

// Numbers in the order of floats, both zeros as one.
__device__ inline std::uint32_t order_of(float value) {
  const std::uint32_t bits = __float_as_uint(value + 0.0F);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}
__device__ inline float float_of(std::uint32_t order) {
  return __uint_as_float((order & 0x80000000U) != 0 ? order & 0x7fffffffU : ~order);
}

// Counts this block at a counter that is 0 before and after all `blocks` have been counted; true for the last one,
// which then sees what the others wrote. Called by one thread, between two times that the block waits for all of its
// threads.
__device__ inline bool count_block(std::int32_t* counter, int blocks) {
  __threadfence();
  const bool is_last = atomicAdd(counter, 1) == blocks - 1;
  if (is_last) *counter = 0;
  __threadfence();
  return is_last;
}

// Whether numbers from there on can be read and written four at a time.
inline bool takes_fours(const void* at, std::int64_t stride) {
  return reinterpret_cast<std::uintptr_t>(at) % 16 == 0 && stride % 4 == 0;
}

inline int blocks_for(std::int64_t count, int per_block) {
  return static_cast<int>((count + per_block - 1) / per_block);
}

}  // namespace precis::cuda
