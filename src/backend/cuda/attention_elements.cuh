// How K and V of each type get from memory into the products of attention_decode.cuh, and the numbers that they are
// multiplied with: as two of 16 bits that together stand for a float.
//
// A step of a product takes 4 of a lane's dimensions of a key: 2 words of bf16, one of e4m3.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include "backend/cuda/f8.cuh"
#include "backend/cuda/tensor_core.cuh"

namespace precis::cuda {

// What a lane loads at once: 16 bytes, or 8.
template <int count>
struct Words {
  __device__ void load(const std::byte* from) {
    if constexpr (count == 4) {
      const uint4 words = __ldcs(reinterpret_cast<const uint4*>(from));
      of[0] = words.x;
      of[1] = words.y;
      of[2] = words.z;
      of[3] = words.w;
    } else {
      const uint2 words = __ldcs(reinterpret_cast<const uint2*>(from));
      of[0] = words.x;
      of[1] = words.y;
    }
  }
  __device__ void clear() {
#pragma unroll
    for (std::uint32_t& word : of) word = 0;
  }

  std::uint32_t of[count];
};

template <typename Element>
struct DecodeElements;

template <>
struct DecodeElements<__nv_bfloat16> {
  static constexpr int bytes = 2;
  static constexpr int blocks = 2;  // of a processor, as many as registers allow
  static constexpr float weight_factor = 1;

  // Of q, whose largest number is `most`.
  static __device__ float factor(float) { return 1; }
  static __device__ float inverse(float) { return 1; }

  // Two floats rounded, and what that left over of them.
  static __device__ void split(float first, float second, std::uint32_t& rounded, std::uint32_t& rest) {
    rounded = pair_of(first, second);
    rest = pair_of(first - first_bf16(rounded), second - second_bf16(rounded));
  }

  static __device__ void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    multiply_add(c, a, b0, b1);
  }

  // A step's part of a key.
  static __device__ void of_key(const std::uint32_t* words, std::uint32_t& b0, std::uint32_t& b1) {
    b0 = words[0];
    b1 = words[1];
  }

  // A word of values of one entry and the same of the next one: for each dimension the pair of both entries.
  static __device__ void of_values(std::uint32_t entry, std::uint32_t next, std::uint32_t (&pairs)[2]) {
    pairs[0] = __byte_perm(entry, next, 0x5410);
    pairs[1] = __byte_perm(entry, next, 0x7632);
  }
};

// Multiplied as halves, whose range a head's q and the weights are brought into by powers of two: q so that the largest
// number is 2^14 to 2^15, weights, which are 1 at most, by 2^15. So what a half and its rest leave over is 2^-39 of the
// largest one or, of each number, 2^-22.
template <>
struct DecodeElements<__nv_fp8_e4m3> {
  static constexpr int bytes = 1;
  static constexpr int blocks = 3;
  static constexpr float weight_factor = 0x1p15F;

  static __device__ float factor(float most) { return power(2 * 127 + 14 - exponent(most)); }
  static __device__ float inverse(float most) { return power(exponent(most) - 14); }

  static __device__ void split(float first, float second, std::uint32_t& rounded, std::uint32_t& rest) {
    const __half2 pair = __floats2half2_rn(first, second);
    const float2 back = __half22float2(pair);
    const __half2 left = __floats2half2_rn(first - back.x, second - back.y);
    rounded = *reinterpret_cast<const std::uint32_t*>(&pair);
    rest = *reinterpret_cast<const std::uint32_t*>(&left);
  }

  static __device__ void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    multiply_add_half(c, a, b0, b1);
  }

  static __device__ void of_key(const std::uint32_t* words, std::uint32_t& b0, std::uint32_t& b1) {
    widen_f8(words[0], b0, b1);
  }

  static __device__ void of_values(std::uint32_t entry, std::uint32_t next, std::uint32_t (&pairs)[4]) {
    widen_f8(__byte_perm(entry, next, 0x5140), pairs[0], pairs[1]);
    widen_f8(__byte_perm(entry, next, 0x7362), pairs[2], pairs[3]);
  }

 private:
  // As a float has it, 127 for 1; at least so much that both factors are normal numbers.
  static __device__ int exponent(float most) { return max(static_cast<int>(__float_as_uint(most) >> 23 & 0xffU), 15); }
  static __device__ float power(int exponent) { return __uint_as_float(static_cast<unsigned>(exponent) << 23); }
};

}  // namespace precis::cuda
