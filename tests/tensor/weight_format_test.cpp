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

// Where each value lies, by rows whose values name their places, as docs/quantization.md has it: a group of 8 blocks
// and one of 3.
TEST(WeightFormatTest, PlacesOfValues) {
  constexpr std::size_t blocks = 11;
  for (const WeightFormat format : {WeightFormat::q8, WeightFormat::q4}) {
    const int most = format == WeightFormat::q8 ? 127 : 15;
    std::vector<float> row(blocks * 32);
    for (std::size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>((i * 7 + i / 32 * 3) % 16);
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
        const auto byte = std::to_integer<int>(values[group * 128 + 4 * (word * n + b) + in % 4]);
        found = in % 16 < 8 ? byte & 15 : byte >> 4;
        EXPECT_EQ(to_float(scales[group * 16 + n + b]), 0);
      }
      EXPECT_EQ(to_float(scales[(format == WeightFormat::q8 ? 8 : 16) * group + b]), 1);
      ASSERT_EQ(found, static_cast<int>(row[i])) << name_of(format) << " " << i;
    }
    EXPECT_EQ(there_and_back(format, row), row);
  }
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
