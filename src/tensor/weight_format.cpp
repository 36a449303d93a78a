#include "tensor/weight_format.h"

#include <algorithm>
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

// Of q4: the byte and which half of it.
struct Nibble {
  std::size_t byte;
  unsigned shift;
};
Nibble q4_nibble(const Place& place, std::size_t i) {
  const std::size_t quad = i / 4;
  const std::size_t word = quad / 4 * 2 + quad % 2;
  return {4 * (word * place.size + place.block) + i % 4, quad % 4 < 2 ? 0U : 4U};
}

// The group's bytes are zero where nothing was written yet.
void pack_q8(std::span<const std::int8_t, block_size> q, const Place& place, std::byte* group) {
  for (std::size_t i = 0; i < block_size; ++i) group[q8_byte(place, i)] = static_cast<std::byte>(q[i]);
}

void pack_q4(std::span<const std::int8_t, block_size> q, const Place& place, std::byte* group) {
  for (std::size_t i = 0; i < block_size; ++i) {
    const Nibble at = q4_nibble(place, i);
    group[at.byte] |= static_cast<std::byte>(q[i] << at.shift);
  }
}

void dequantize_q8(const std::byte* group, const Place& place, const F16* scales, std::span<float> block) {
  const float scale = to_float(scales[place.block]);
  for (std::size_t i = 0; i < block_size; ++i) {
    block[i] = scale * static_cast<float>(std::to_integer<std::int8_t>(group[q8_byte(place, i)]));
  }
}

void dequantize_q4(const std::byte* group, const Place& place, const F16* scales, std::span<float> block) {
  const float step = to_float(scales[place.block]);
  const float minimum = to_float(scales[place.size + place.block]);
  for (std::size_t i = 0; i < block_size; ++i) {
    const Nibble at = q4_nibble(place, i);
    block[i] = step * static_cast<float>(std::to_integer<unsigned>(group[at.byte]) >> at.shift & 15U) + minimum;
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
  std::vector<std::int8_t> q(row.size());
  std::vector<F16> steps(row.size() / block_size);
  std::vector<F16> minimums(steps.size());
  for (std::size_t block = 0; block < steps.size(); ++block) {
    const Block from = row.subspan(block * block_size).first<block_size>();
    const auto take = [&](const auto& fit) {
      steps[block] = fit.scale;
      std::copy(fit.q.begin(), fit.q.end(), q.begin() + static_cast<std::ptrdiff_t>(block * block_size));
    };
    if (format == WeightFormat::q8) {
      take(fit_q8(from));
    } else {
      const Q4Block fit = fit_q4(from);
      take(fit);
      minimums[block] = fit.minimum;
    }
  }
  pack_row(format, {q, steps, minimums}, values, scales);
}

void pack_row(WeightFormat format, const QuantizedRow& row, std::byte* values, F16* scales) {
  const auto inputs = static_cast<std::int64_t>(row.q.size());
  PRECIS_CHECK(is_quantized(format) && inputs % row_multiple(format) == 0);
  std::fill_n(values, value_row_bytes(format, inputs), std::byte{0});
  for_blocks(row.q.size(), [&](std::size_t index, const Place& place) {
    const auto q = row.q.subspan(index * block_size).first<block_size>();
    if (format == WeightFormat::q8) {
      pack_q8(q, place, values + place.group * block_size);
      scales[index] = row.scales[index];
    } else {
      pack_q4(q, place, values + place.group * block_size / 2);
      F16* group = scales + 2 * place.group;
      group[place.block] = row.scales[index];
      group[place.size + place.block] = row.minimums[index];
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
      return for_blocks(row.size(), [&](std::size_t index, const Place& place) {
        dequantize_q8(values + place.group * block_size, place, scales + place.group,
                      row.subspan(index * block_size, block_size));
      });
    case WeightFormat::q4:
      return for_blocks(row.size(), [&](std::size_t index, const Place& place) {
        dequantize_q4(values + place.group * block_size / 2, place, scales + 2 * place.group,
                      row.subspan(index * block_size, block_size));
      });
  }
}

}  // namespace precis
