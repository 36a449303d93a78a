// Numbers in e4m3 as two halves, which hold all of them exactly: -448 to 448, down to 2^-9.
#pragma once

#include "backend/cuda/numbers.cuh"

namespace precis::cuda {

// The four numbers of a word, in their order: `first` has the two of the lower half. What is no number (0x7f, 0xff)
// stays none.
__device__ inline void widen_f8(std::uint32_t word, std::uint32_t& first, std::uint32_t& second) {
#if __CUDA_ARCH__ >= 890
  asm("{\n"
      ".reg .b16 low, high;\n"
      "mov.b32 {low, high}, %2;\n"
      "cvt.rn.f16x2.e4m3x2 %0, low;\n"
      "cvt.rn.f16x2.e4m3x2 %1, high;\n"
      "}"
      : "=r"(first), "=r"(second)
      : "r"(word));
#else
  // Sign, exponent and fraction where a half has its own: 2^8 too small, since exponents there count from 15, not from
  // 7, which goes for the smallest ones, without a leading 1, as well.
  const auto widened = [](std::uint32_t upper_bytes, std::uint32_t none) {
    const std::uint32_t small = (upper_bytes & 0x80008000U) | (upper_bytes >> 1 & 0x3f803f80U);
    const __half2 wide = __hmul2(*reinterpret_cast<const __half2*>(&small), __float2half2_rn(256));
    return *reinterpret_cast<const std::uint32_t*>(&wide) | none;
  };
  const std::uint32_t none = __vcmpeq4(word & 0x7f7f7f7fU, 0x7f7f7f7fU);
  first = widened(__byte_perm(word, 0, 0x1404), __byte_perm(none, 0, 0x1100));
  second = widened(__byte_perm(word, 0, 0x3424), __byte_perm(none, 0, 0x3322));
#endif
}

}  // namespace precis::cuda
