#include "tensor/weight_format.h"

#include <algorithm>

#include "base/error.h"
#include "tensor/block_fit.h"

namespace precis {
namespace {

constexpr auto block_size = static_cast<std::size_t>(quantized_block);

using Integers = std::span<const std::int8_t, block_size>;

void pack_q8(Integers q, std::byte* values) {
  for (std::size_t i = 0; i < block_size; ++i) values[i] = static_cast<std::byte>(q[i]);
}

// `place`: which of a unit's two blocks.
void pack_q4(Integers q, std::size_t place, std::byte* unit) {
  for (std::size_t i = 0; i < 16; ++i) unit[2 * i + place] = static_cast<std::byte>(q[i] | q[16 + i] << 4);
}

void pack_block(WeightFormat format, Integers q, std::size_t block, std::byte* values) {
  if (format == WeightFormat::q8) return pack_q8(q, values + block * block_size);
  pack_q4(q, block % 2, values + block / 2 * block_size);
}

void dequantize_q4(const std::byte* unit, std::size_t place, const F16* scale_and_minimum, std::span<float> block) {
  const float step = to_float(scale_and_minimum[0]);
  const float minimum = to_float(scale_and_minimum[1]);
  for (std::size_t i = 0; i < 16; ++i) {
    const auto pair = std::to_integer<unsigned>(unit[2 * i + place]);
    block[i] = step * static_cast<float>(pair & 15U) + minimum;
    block[16 + i] = step * static_cast<float>(pair >> 4) + minimum;
  }
}

template <typename Element>
void widen(const std::byte* values, std::span<float> row) {
  const Element* elements = reinterpret_cast<const Element*>(values);
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = to_float(elements[i]);
}

}  // namespace

std::string_view name_of(WeightFormat format) {
  constexpr std::string_view names[] = {"f32", "f16", "bf16", "q8", "q4"};
  return names[static_cast<std::size_t>(format)];
}

std::optional<WeightFormat> quantized_format(std::string_view name) {
  for (const WeightFormat format : {WeightFormat::q8, WeightFormat::q4}) {
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

std::int64_t row_multiple(WeightFormat format) {
  if (format == WeightFormat::q4) return q4_unit;
  return format == WeightFormat::q8 ? quantized_block : 1;
}

std::int64_t value_row_bytes(WeightFormat format, std::int64_t inputs) {
  switch (format) {
    case WeightFormat::f32:
      return 4 * inputs;
    case WeightFormat::f16:
    case WeightFormat::bf16:
      return 2 * inputs;
    case WeightFormat::q8:
      return inputs;
    case WeightFormat::q4:
      return inputs / 2;
  }
  return 0;
}

std::int64_t scale_row_bytes(WeightFormat format, std::int64_t inputs) {
  const std::int64_t blocks = inputs / quantized_block;
  if (format == WeightFormat::q4) return 4 * blocks;
  return format == WeightFormat::q8 ? 2 * blocks : 0;
}

void quantize_row(WeightFormat format, std::span<const float> row, std::byte* values, F16* scales) {
  PRECIS_CHECK(is_quantized(format) && static_cast<std::int64_t>(row.size()) % row_multiple(format) == 0);
  for (std::size_t block = 0; block < row.size() / block_size; ++block) {
    const Block from = row.subspan(block * block_size).first<block_size>();
    if (format == WeightFormat::q8) {
      const Q8Block fit = fit_q8(from);
      scales[block] = fit.scale;
      pack_block(format, fit.q, block, values);
    } else {
      const Q4Block fit = fit_q4(from);
      scales[2 * block] = fit.scale;
      scales[2 * block + 1] = fit.minimum;
      pack_block(format, fit.q, block, values);
    }
  }
}

void pack_row(WeightFormat format, std::span<const std::int8_t> q, std::byte* values) {
  PRECIS_CHECK(is_quantized(format) && static_cast<std::int64_t>(q.size()) % row_multiple(format) == 0);
  for (std::size_t block = 0; block < q.size() / block_size; ++block) {
    pack_block(format, q.subspan(block * block_size).first<block_size>(), block, values);
  }
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
      for (std::size_t i = 0; i < row.size(); ++i) {
        row[i] = to_float(scales[i / block_size]) * static_cast<float>(std::to_integer<std::int8_t>(values[i]));
      }
      return;
    case WeightFormat::q4:
      for (std::size_t block = 0; block < row.size() / block_size; ++block) {
        dequantize_q4(values + block / 2 * block_size, block % 2, scales + 2 * block,
                      row.subspan(block * block_size, block_size));
      }
      return;
  }
}

}  // namespace precis
