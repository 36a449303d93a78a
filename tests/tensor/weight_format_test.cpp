#include "tensor/weight_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace precis {
namespace {

std::vector<float> random_row(std::int64_t inputs, float mean) {
  std::mt19937_64 engine(std::random_device{}());
  std::normal_distribution<float> normal(mean, 1);
  std::vector<float> row(static_cast<std::size_t>(inputs));
  for (float& value : row) value = normal(engine);
  return row;
}

std::vector<float> there_and_back(WeightFormat format, const std::vector<float>& row) {
  const auto inputs = static_cast<std::int64_t>(row.size());
  std::vector<std::byte> values(static_cast<std::size_t>(value_row_bytes(format, inputs)));
  std::vector<F16> scales(static_cast<std::size_t>(scale_row_bytes(format, inputs) / 2));
  quantize_row(format, row, values.data(), scales.data());
  std::vector<float> back(row.size());
  dequantize_row(format, values.data(), scales.data(), back);
  return back;
}

TEST(WeightFormatTest, BytesOfARow) {
  EXPECT_EQ(value_row_bytes(WeightFormat::f32, 64), 256);
  EXPECT_EQ(value_row_bytes(WeightFormat::bf16, 64), 128);
  EXPECT_EQ(scale_row_bytes(WeightFormat::bf16, 64), 0);
  EXPECT_EQ(value_row_bytes(WeightFormat::q8, 64) + scale_row_bytes(WeightFormat::q8, 64), 68);  // 8.5 bits a weight
  EXPECT_EQ(value_row_bytes(WeightFormat::q6, 64) + scale_row_bytes(WeightFormat::q6, 64), 52);  // 6.5
  EXPECT_EQ(value_row_bytes(WeightFormat::q5, 64) + scale_row_bytes(WeightFormat::q5, 64), 44);  // 5.5
  EXPECT_EQ(value_row_bytes(WeightFormat::q4, 64) + scale_row_bytes(WeightFormat::q4, 64), 36);  // 4.5
}

// A value is off by half a step of its block at most where the range's ends are kept (0 lies in the range), and a
// little for the rounding of the scale itself: 1/64 where scales have five bits of fraction. What the search clips
// further makes the block as a whole no worse than that.
TEST(WeightFormatTest, ErrorOfABlockIsWithinHalfAStep) {
  for (const WeightFormat format : {WeightFormat::q8, WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    for (const float mean : {0.0F, 3.0F, -5.0F}) {
      const std::vector<float> row = random_row(256, mean);
      const std::vector<float> back = there_and_back(format, row);
      for (std::size_t block = 0; block < row.size(); block += 32) {
        const auto [low, high] = std::minmax_element(row.begin() + static_cast<std::ptrdiff_t>(block),
                                                     row.begin() + static_cast<std::ptrdiff_t>(block) + 32);
        const float largest = std::max(std::abs(*low), std::abs(*high));
        const float range = std::max(*high, 0.0F) - std::min(*low, 0.0F);
        const float step =
            format == WeightFormat::q8 ? largest / 127 : range / static_cast<float>((1 << integer_bits(format)) - 1);
        double squares = 0;
        for (std::size_t i = block; i < block + 32; ++i) squares += std::pow(back[i] - row[i], 2);
        EXPECT_LE(std::sqrt(squares / 32), 0.5F * step + (format == WeightFormat::q8 ? 0.002F : 0.016F) * largest)
            << name_of(format) << " " << block;
      }
    }
  }
}

// Where each value lies, by rows whose values name their places, as docs/quantization.md has it: a group of 8 blocks
// and one of 3.
TEST(WeightFormatTest, PlacesOfValues) {
  constexpr std::size_t blocks = 11;
  for (const WeightFormat format : {WeightFormat::q8, WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    const int most = format == WeightFormat::q8 ? 127 : (1 << integer_bits(format)) - 1;
    std::vector<float> row(blocks * 32);
    for (std::size_t i = 0; i < row.size(); ++i) {
      row[i] = static_cast<float>((i * 7 + i / 32 * 3) % static_cast<std::size_t>(std::min(most + 1, 64)));
    }
    for (std::size_t block = 0; block < blocks; ++block) {  // the ends of the range, for the scale to be 1
      row[32 * block] = 0;
      row[32 * block + 1] = static_cast<float>(most);
    }
    const auto inputs = static_cast<std::int64_t>(row.size());
    std::vector<std::byte> values(static_cast<std::size_t>(value_row_bytes(format, inputs)));
    std::vector<F16> scales(static_cast<std::size_t>(scale_row_bytes(format, inputs) / 2));
    quantize_row(format, row, values.data(), scales.data());
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::size_t group = i / 256;
      const std::size_t n = group == 0 ? 8 : 3;
      const std::size_t b = i / 32 % 8;
      const std::size_t in = i % 32;
      int found = 0;
      if (format == WeightFormat::q8) {
        found = std::to_integer<std::int8_t>(values[group * 256 + 2 * (in / 2 * n + b) + in % 2]);
      } else {
        const std::size_t word = std::vector<std::size_t>{0, 1, 0, 1, 2, 3, 2, 3}[in / 4];
        const std::byte* of_group = values.data() + group * 256 * static_cast<std::size_t>(integer_bits(format)) / 8;
        const auto byte = std::to_integer<int>(of_group[4 * (word * n + b) + in % 4]);
        found = in % 16 < 8 ? byte & 15 : byte >> 4;
        for (int bit = 4; bit < integer_bits(format); ++bit) {
          const std::size_t place = 4 * (in / 4 * n + b) + in % 4;
          const std::size_t plane = 16 * n + 4 * n * static_cast<std::size_t>(bit - 4);
          found |= (std::to_integer<int>(of_group[plane + place / 8]) >> place % 8 & 1) << bit;
        }
      }
      const BlockLine line = stored_line(format, scales[8 * group + b]);
      EXPECT_EQ(line.scale, 1);
      EXPECT_EQ(line.minimum, 0);
      ASSERT_EQ(found, static_cast<int>(row[i])) << name_of(format) << " " << i;
    }
    EXPECT_EQ(there_and_back(format, row), row);
  }
}

TEST(WeightFormatTest, EqualValuesAndZeros) {
  for (const WeightFormat format : {WeightFormat::q8, WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    for (const float value : {0.0F, 1.0F, -2.0F}) {
      const std::vector<float> row(64, value);
      for (const float back : there_and_back(format, row))
        EXPECT_NEAR(back, value, format == WeightFormat::q8 ? 1e-3F : 0.016F * std::abs(value));
    }
  }
}

// Words as docs/quantization.md has them: each exponent and fraction, and each place of 0.
TEST(WeightFormatTest, WordsOfLines) {
  for (const WeightFormat format : {WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    for (unsigned bits = 0; bits < 65536; ++bits) {
      const BlockLine line = stored_line(format, {static_cast<std::uint16_t>(bits)});
      const int exponent = static_cast<int>(bits >> 11) - 19;
      const double scale = std::ldexp(1 + (bits >> 6 & 31U) / 32.0, exponent);
      ASSERT_EQ(line.scale, scale) << bits;
      ASSERT_EQ(line.minimum, -scale * (bits & 63U) * std::exp2(integer_bits(format) - 6)) << bits;
      ASSERT_EQ(line_word(format, line.scale, line.minimum).bits, bits);
    }
    EXPECT_EQ(line_word(format, 0, 0).bits, 0) << "the least scale";
    EXPECT_EQ(line_word(format, 1e30F, 0).bits, 65535U & ~63U) << "the largest";
    EXPECT_EQ(line_word(format, 1, 1).bits, line_word(format, 1, 0).bits) << "0 is never below the range";
    EXPECT_EQ(stored_line(format, line_word(format, 1.01F, 0)).scale, 1);
    EXPECT_EQ(stored_line(format, line_word(format, 1.01F, 0, 1)).scale, 1.03125F);
  }
}

}  // namespace
}  // namespace precis
