// Choosing the scale of a block of weights, and the minimum where the format has one: those of least squared error that
// a short search finds. The same bits on every machine.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "tensor/weight_format.h"

namespace precis {

// 32 finite numbers, at most 65504 in magnitude.
using Block = std::span<const float, 32>;
using BlockIntegers = std::array<std::int8_t, 32>;

struct FittedBlock {
  F16 word;  // its line: stored_line
  BlockIntegers q;
};
FittedBlock fit_block(WeightFormat format, Block block);

}  // namespace precis
