// Rounding a row of weights to a quantized format so that what it computes from its inputs changes least.
#pragma once

#include <span>

#include "calibration/quadratic.h"
#include "tensor/weight_format.h"

namespace precis {

// Writes one row in `format` as quantize_row does: values [value_row_bytes], scales [a word for each block]. The row's
// numbers are finite and at most 65504 in magnitude.
//
// Scales and minimums are first those of each block alone. Then every weight is rounded once, each so that it makes up
// for the errors of those before it, as GPTQ does: the nearest plane of Babai's, "On Lovasz' lattice reduction and the
// nearest lattice point problem", 1986. What is found is improved by changing one weight at a time while the error
// falls, and by the scales and minimums of least error for the integers as they are; the better of all is kept.
void round_row(const Quadratic& error, WeightFormat format, std::span<const float> row, std::byte* values, F16* scales);

}  // namespace precis
