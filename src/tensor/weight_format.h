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
// q6, q5, q4: w = scale * q + minimum, q in [0, 63], [0, 31], [0, 15].
enum class WeightFormat : std::uint8_t { f32, f16, bf16, q8, q6, q5, q4 };

// Inputs that share a scale: a block.
constexpr std::int64_t quantized_block = 32;
// Blocks that follow each other in a row and lie interleaved, so that each lane of a vector sees one block alone. What
// is left at a row's end, fewer than 8 blocks, is a group as well. In a group of n blocks, byte
//   q8: 2 (j n + b) + k is input 2 j + k of block b (k: 0 or 1);
//   q4: 4 (i n + b) + k has input 4 j + k of block b in its low half, and input 4 (j + 2) + k in its high half, where
//       j = 4 (i / 2) + i % 2 (i and k: 0 to 3);
//   q5, q6: 16 n bytes as q4's have the low four bits; the fifth bits follow, 4 n bytes, and of q6 the sixth. Bit
//       4 (j n + b) + k of these, counted from the lowest of the first byte, belongs to input 4 j + k of block b.
constexpr std::int64_t quantized_group = 8;

constexpr bool is_quantized(WeightFormat format) {
  return format >= WeightFormat::q8;
}
// Blocks have a minimum, too.
constexpr bool has_minimum(WeightFormat format) {
  return format > WeightFormat::q8;
}
// Of a weight's integer.
constexpr int integer_bits(WeightFormat format) {
  constexpr int bits[] = {0, 0, 0, 8, 6, 5, 4};
  return bits[static_cast<int>(format)];
}

// What the integers of a block stand for.
struct BlockLine {
  float scale;
  float minimum;  // 0 of q8
};
// A block's line in 16 bits. Of q8 its scale as f16. Of the others the scale is in the upper ten, five of exponent and
// five of fraction: 2^(e - 19) (1 + f / 32); in the lower six is, in units of 2^(bits - 6), the q that stands for 0.
BlockLine stored_line(WeightFormat format, F16 word);
// Not of q8: the nearest scale that there is, `steps` further, and for it the minimum nearest to `minimum`.
F16 line_word(WeightFormat format, float scale, float minimum, int steps = 0);

// "f32", "bf16", "q8", ...
std::string_view name_of(WeightFormat format);
// "q8", "q6", "q5" or "q4"; nothing for another name.
std::optional<WeightFormat> quantized_format(std::string_view name);
// The format of plain elements; `type` must be f32, f16 or bf16.
WeightFormat format_of(DType type);

// What a row's number of inputs must be a multiple of.
constexpr std::int64_t row_multiple(WeightFormat format) {
  return is_quantized(format) ? quantized_block : 1;
}
// Bytes of a row of values, and of its scales (0 for plain elements).
std::int64_t value_row_bytes(WeightFormat format, std::int64_t inputs);
std::int64_t scale_row_bytes(WeightFormat format, std::int64_t inputs);

// Writes one row in a quantized format: values [value_row_bytes], scales [a word for each block]. The row's size must
// be a multiple of row_multiple(format), its numbers finite.
void quantize_row(WeightFormat format, std::span<const float> row, std::byte* values, F16* scales);

// The values of a row whose integers are chosen already, each in the format's range.
void pack_row(WeightFormat format, std::span<const std::int8_t> q, std::byte* values);

// One row of any format as floats; `scales` is unused for plain elements.
void dequantize_row(WeightFormat format, const std::byte* values, const F16* scales, std::span<float> row);

}  // namespace precis
