// Choosing the scale of a block of weights, and the minimum where the format has one: those of least squared error that
// a short search finds. The same bits on every machine.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "tensor/dtype.h"

namespace precis {

// 32 finite numbers, at most 65504 in magnitude.
using Block = std::span<const float, 32>;
using BlockIntegers = std::array<std::int8_t, 32>;

// w ~ scale * q, q in [-127, 127].
struct Q8Block {
  F16 scale;
  BlockIntegers q;
};
Q8Block fit_q8(Block block);

// w ~ scale * q + minimum, q in [0, 15].
struct Q4Block {
  F16 scale;
  F16 minimum;
  BlockIntegers q;
};
Q4Block fit_q4(Block block);

}  // namespace precis
