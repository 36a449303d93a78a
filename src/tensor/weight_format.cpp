#include "tensor/weight_format.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "tensor/block_fit.h"

namespace precis {
namespace {

constexpr auto block_size = static_cast<std::size_t>(quantized_block);
constexpr auto group_size = static_cast<std::size_t>(quantized_group);

// One block of a row and where it lies.
struct Place {
  std::size_t group;  // its first block
  std::size_t size;   // blocks of the group
  std::size_t block;  // in the group
};

template <typename Each>
void for_blocks(std::size_t inputs, const Each& each) {
  const std::size_t blocks = inputs / block_size;
  for (std::size_t index = 0; index < blocks; ++index) {
    const std::size_t group = index / group_size * group_size;
    each(index, Place{group, std::min(group_size, blocks - group), index - group});
  }
}

// Where input i of a block of q8 is, from the first byte of the group on.
std::size_t q8_byte(const Place& place, std::size_t i) {
  return 2 * (i / 2 * place.size + place.block) + i % 2;
}

// Where bits of an integer are: a byte, from the first one of the group on, and how far up in it.
struct Bits {
  std::size_t byte;
  unsigned shift;
};
Bits low_bits(const Place& place, std::size_t i) {
  const std::size_t quad = i / 4;
  const std::size_t word = quad / 4 * 2 + quad % 2;
  return {4 * (word * place.size + place.block) + i % 4, quad % 4 < 2 ? 0U : 4U};
}
// `upper`: 0 for the fifth bit, 1 for the sixth.
Bits upper_bit(const Place& place, std::size_t i, std::size_t upper) {
  const std::size_t bit = 4 * (i / 4 * place.size + place.block) + i % 4;
  return {(16 + 4 * upper) * place.size + bit / 8, static_cast<unsigned>(bit % 8)};
}
std::size_t upper_bits(WeightFormat format) {
  return static_cast<std::size_t>(integer_bits(format) - 4);
}

// The group's bytes are zero where nothing was written yet.
void pack_q8(std::span<const std::int8_t, block_size> q, const Place& place, std::byte* group) {
  for (std::size_t i = 0; i < block_size; ++i) group[q8_byte(place, i)] = static_cast<std::byte>(q[i]);
}

void pack_bits(WeightFormat format, std::span<const std::int8_t, block_size> q, const Place& place, std::byte* group) {
  const std::size_t upper = upper_bits(format);
  for (std::size_t i = 0; i < block_size; ++i) {
    const Bits low = low_bits(place, i);
    group[low.byte] |= static_cast<std::byte>((q[i] & 15) << low.shift);
  }
  for (std::size_t bit = 0; bit < upper; ++bit) {
    for (std::size_t i = 0; i < block_size; ++i) {
      const Bits at = upper_bit(place, i, bit);
      group[at.byte] |= static_cast<std::byte>((q[i] >> (4 + bit) & 1) << at.shift);
    }
  }
}

void dequantize_q8(const std::byte* group, const Place& place, float scale, std::span<float> block) {
  for (std::size_t i = 0; i < block_size; ++i) {
    block[i] = scale * static_cast<float>(std::to_integer<std::int8_t>(group[q8_byte(place, i)]));
  }
}

void dequantize_bits(WeightFormat format, const std::byte* group, const Place& place, BlockLine line,
                     std::span<float> block) {
  for (std::size_t i = 0; i < block_size; ++i) {
    const Bits low = low_bits(place, i);
    unsigned q = std::to_integer<unsigned>(group[low.byte]) >> low.shift & 15U;
    for (std::size_t upper = 0; upper < upper_bits(format); ++upper) {
      const Bits at = upper_bit(place, i, upper);
      q |= (std::to_integer<unsigned>(group[at.byte]) >> at.shift & 1U) << (4 + upper);
    }
    block[i] = line.scale * static_cast<float>(q) + line.minimum;  // exact: 13 bits
  }
}

// The exponent of the least scale, and its place in a float.
constexpr int least_exponent = -19;
constexpr std::int32_t least_scale = (127 + least_exponent) << 5;
constexpr int zero_bits = 6;

float zero_unit(WeightFormat format) {
  return static_cast<float>(1 << integer_bits(format)) / (1 << zero_bits);
}

template <typename Element>
void widen(const std::byte* values, std::span<float> row) {
  const Element* elements = reinterpret_cast<const Element*>(values);
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = to_float(elements[i]);
}

}  // namespace

std::string_view name_of(WeightFormat format) {
  constexpr std::string_view names[] = {"f32", "f16", "bf16", "q8", "q6", "q5", "q4"};
  return names[static_cast<std::size_t>(format)];
}

std::optional<WeightFormat> quantized_format(std::string_view name) {
  for (const WeightFormat format : {WeightFormat::q8, WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    if (name == name_of(format)) return format;
  }
  return std::nullopt;
}

WeightFormat format_of(DType type) {
  if (type == DType::f32) return WeightFormat::f32;
  if (type == DType::f16) return WeightFormat::f16;
  PRECIS_CHECK(type == DType::bf16, "no weights in {}", name_of(type));
  return WeightFormat::bf16;
}

std::int64_t value_row_bytes(WeightFormat format, std::int64_t inputs) {
  switch (format) {
    case WeightFormat::f32:
      return 4 * inputs;
    case WeightFormat::f16:
    case WeightFormat::bf16:
      return 2 * inputs;
    case WeightFormat::q8:
    case WeightFormat::q6:
    case WeightFormat::q5:
    case WeightFormat::q4:
      return inputs / 8 * integer_bits(format);
  }
  return 0;
}

std::int64_t scale_row_bytes(WeightFormat format, std::int64_t inputs) {
  return is_quantized(format) ? inputs / quantized_block * static_cast<std::int64_t>(sizeof(F16)) : 0;
}

BlockLine stored_line(WeightFormat format, F16 word) {
  if (format == WeightFormat::q8) return {to_float(word), 0};
  const auto scale = static_cast<std::uint32_t>(least_scale + (word.bits >> zero_bits)) << 18;
  const float zero = zero_unit(format) * static_cast<float>(word.bits & 63U);
  return {std::bit_cast<float>(scale), -zero * std::bit_cast<float>(scale)};
}

F16 line_word(WeightFormat format, float scale, float minimum, int steps) {
  PRECIS_CHECK(has_minimum(format) && std::isfinite(scale) && scale >= 0 && std::isfinite(minimum));
  const auto rounded = static_cast<std::int32_t>((std::bit_cast<std::uint32_t>(scale) + (1U << 17)) >> 18);
  const std::int32_t upper = std::clamp(rounded - least_scale + steps, 0, 1023);
  const auto word = static_cast<std::uint16_t>(upper << zero_bits);
  const float zero = -minimum / (stored_line(format, {word}).scale * zero_unit(format));
  return {static_cast<std::uint16_t>(word + static_cast<unsigned>(std::nearbyint(std::clamp(zero, 0.0F, 63.0F))))};
}

void quantize_row(WeightFormat format, std::span<const float> row, std::byte* values, F16* scales) {
  std::vector<std::int8_t> q(row.size());
  for (std::size_t block = 0; block < row.size() / block_size; ++block) {
    const FittedBlock fit = fit_block(format, row.subspan(block * block_size).first<block_size>());
    scales[block] = fit.word;
    std::copy(fit.q.begin(), fit.q.end(), q.begin() + static_cast<std::ptrdiff_t>(block * block_size));
  }
  pack_row(format, q, values);
}

void pack_row(WeightFormat format, std::span<const std::int8_t> q, std::byte* values) {
  const auto inputs = static_cast<std::int64_t>(q.size());
  PRECIS_CHECK(is_quantized(format) && inputs % row_multiple(format) == 0);
  const auto block_bytes = static_cast<std::size_t>(value_row_bytes(format, quantized_block));
  std::fill_n(values, value_row_bytes(format, inputs), std::byte{0});
  for_blocks(q.size(), [&](std::size_t index, const Place& place) {
    const auto block = q.subspan(index * block_size).first<block_size>();
    std::byte* group = values + place.group * block_bytes;
    if (format == WeightFormat::q8) {
      pack_q8(block, place, group);
    } else {
      pack_bits(format, block, place, group);
    }
  });
}

void dequantize_row(WeightFormat format, const std::byte* values, const F16* scales, std::span<float> row) {
  switch (format) {
    case WeightFormat::f32:
      std::copy_n(reinterpret_cast<const float*>(values), row.size(), row.begin());
      return;
    case WeightFormat::f16:
      return widen<F16>(values, row);
    case WeightFormat::bf16:
      return widen<Bf16>(values, row);
    case WeightFormat::q8:
    case WeightFormat::q6:
    case WeightFormat::q5:
    case WeightFormat::q4:
      return for_blocks(row.size(), [&](std::size_t index, const Place& place) {
        const auto block_bytes = static_cast<std::size_t>(value_row_bytes(format, quantized_block));
        const std::byte* group = values + place.group * block_bytes;
        const BlockLine line = stored_line(format, scales[index]);
        const auto block = row.subspan(index * block_size, block_size);
        if (format == WeightFormat::q8) return dequantize_q8(group, place, line.scale, block);
        dequantize_bits(format, group, place, line, block);
      });
  }
}

}  // namespace precis
