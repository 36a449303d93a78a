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
  EXPECT_EQ(value_row_bytes(WeightFormat::q4, 64) + scale_row_bytes(WeightFormat::q4, 64), 40);  // 5 bits a weight
}

// A value is off by half a step of its block at most where the range's ends are kept, and a little for the rounding of
// the scale itself; what the search clips further makes the block as a whole no worse than that.
TEST(WeightFormatTest, ErrorOfABlockIsWithinHalfAStep) {
  for (const WeightFormat format : {WeightFormat::q8, WeightFormat::q4}) {
    for (const float mean : {0.0F, 3.0F, -5.0F}) {
      const std::vector<float> row = random_row(256, mean);
      const std::vector<float> back = there_and_back(format, row);
      for (std::size_t block = 0; block < row.size(); block += 32) {
        const auto [low, high] = std::minmax_element(row.begin() + static_cast<std::ptrdiff_t>(block),
                                                     row.begin() + static_cast<std::ptrdiff_t>(block) + 32);
        const float largest = std::max(std::abs(*low), std::abs(*high));
        const float step = format == WeightFormat::q8 ? largest / 127 : (*high - *low) / 15;
        double squares = 0;
        for (std::size_t i = block; i < block + 32; ++i) squares += std::pow(back[i] - row[i], 2);
        EXPECT_LE(std::sqrt(squares / 32), 0.5F * step + 0.002F * largest) << name_of(format) << " " << block;
      }
    }
  }
}

// Where each value of a unit lies, by a row whose values name their places.
TEST(WeightFormatTest, UnitOfFourBits) {
  std::vector<float> row(64);
  for (std::size_t i = 0; i < 64; ++i) row[i] = static_cast<float>((i * 7 + i / 16) % 16);
  row[0] = 0;
  row[1] = 15;
  row[32] = 0;
  row[33] = 15;
  std::vector<std::byte> unit(32);
  std::vector<F16> scales(4);
  quantize_row(WeightFormat::q4, row, unit.data(), scales.data());
  for (std::size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(std::to_integer<int>(unit[2 * i] & std::byte{15}), static_cast<int>(row[i]));
    EXPECT_EQ(std::to_integer<int>(unit[2 * i] >> 4), static_cast<int>(row[16 + i]));
    EXPECT_EQ(std::to_integer<int>(unit[2 * i + 1] & std::byte{15}), static_cast<int>(row[32 + i]));
    EXPECT_EQ(std::to_integer<int>(unit[2 * i + 1] >> 4), static_cast<int>(row[48 + i]));
  }
  EXPECT_EQ(there_and_back(WeightFormat::q4, row), row);
}

TEST(WeightFormatTest, EqualValuesAndZeros) {
  for (const WeightFormat format : {WeightFormat::q8, WeightFormat::q4}) {
    for (const float value : {0.0F, 1.0F, -2.0F}) {
      const std::vector<float> row(64, value);
      for (const float back : there_and_back(format, row)) EXPECT_NEAR(back, value, 1e-3F);
    }
  }
}

}  // namespace
}  // namespace precis
