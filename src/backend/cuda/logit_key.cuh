// Logits with their ids as integers in the order in which ids are chosen.
#pragma once

#include <cstdint>

#include "backend/cuda/numbers.cuh"

namespace precis::cuda {

// A larger logit has a larger key, and of equal ones the smaller id; what is no number has 0, less than all others. No
// two ids of a row have the same key but 0.
__device__ inline unsigned long long key_of(float logit, int id) {
  if (isnan(logit)) return 0;
  return static_cast<unsigned long long>(order_of(logit)) << 32 | ~static_cast<std::uint32_t>(id);
}

// Of keys other than 0.
__device__ inline std::int32_t id_of(unsigned long long key) {
  return static_cast<std::int32_t>(~static_cast<std::uint32_t>(key));
}

__device__ inline float logit_of(unsigned long long key) {
  return float_of(static_cast<std::uint32_t>(key >> 32));
}

// Every lane gets the largest key of its warp.
__device__ inline unsigned long long warp_largest(unsigned long long key) {
#pragma unroll
  for (int distance = warp_lanes / 2; distance > 0; distance /= 2) {
    key = max(key, __shfl_xor_sync(all_lanes, key, distance));
  }
  return key;
}

}  // namespace precis::cuda
