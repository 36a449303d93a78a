// How a matrix of weights lies in memory: plain elements, or blocks of small integers with a scale each. The same bytes
// serve files and every backend; docs/quantization.md is the description for others.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "tensor/dtype.h"

namespace precis {

// q8: w = scale * q, q in [-127, 127].
// q4: w = scale * q + minimum, q in [0, 15].
enum class WeightFormat : std::uint8_t { f32, f16, bf16, q8, q4 };

// Inputs that share a scale (q8: one f16; q4: two, scale and minimum).
constexpr std::int64_t quantized_block = 32;
// q4 stores two blocks a and b as one unit of 32 bytes: byte 2i holds a[i] in its low and a[16 + i] in its high half,
// byte 2i + 1 the same of b. So the k-th halves of the unit's 16-bit words are 16 values that follow each other.
constexpr std::int64_t q4_unit = 2 * quantized_block;

constexpr bool is_quantized(WeightFormat format) {
  return format == WeightFormat::q8 || format == WeightFormat::q4;
}

// "f32", "bf16", "q8", ...
std::string_view name_of(WeightFormat format);
// "q8", "q4"; nothing for another name.
std::optional<WeightFormat> quantized_format(std::string_view name);
// The format of plain elements; `type` must be f32, f16 or bf16.
WeightFormat format_of(DType type);

// What a row's number of inputs must be a multiple of.
std::int64_t row_multiple(WeightFormat format);
// Bytes of a row of values, and of its scales (0 for plain elements).
std::int64_t value_row_bytes(WeightFormat format, std::int64_t inputs);
std::int64_t scale_row_bytes(WeightFormat format, std::int64_t inputs);

// Writes one row in a quantized format: values [value_row_bytes], scales [scale_row_bytes / 2]. The row's size must be
// a multiple of row_multiple(format), its numbers finite.
void quantize_row(WeightFormat format, std::span<const float> row, std::byte* values, F16* scales);

// Writes the values of one row whose integers are chosen already, each in the format's range: values
// [value_row_bytes].
void pack_row(WeightFormat format, std::span<const std::int8_t> q, std::byte* values);

// One row of any format as floats; `scales` is unused for plain elements.
void dequantize_row(WeightFormat format, const std::byte* values, const F16* scales, std::span<float> row);

}  // namespace precis
