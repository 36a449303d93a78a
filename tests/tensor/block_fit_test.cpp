// Scales and minima of blocks: no worse than the ends of the range give, and near what an exhaustive search finds.
#include "tensor/block_fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace precis {
namespace {

using Numbers = std::array<float, 32>;

// Blocks as weights have them, and worse: normal, with an outlier, in a small or a large unit, off zero.
std::vector<Numbers> random_blocks(int count) {
  std::mt19937_64 engine(std::random_device{}());
  std::normal_distribution<float> normal(0, 1);
  std::vector<Numbers> blocks;
  for (int i = 0; i < count; ++i) {
    const float unit = std::exp2(static_cast<float>(i % 12 - 8));
    const float offset = i % 3 == 0 ? 2 * normal(engine) : 0;
    Numbers& block = blocks.emplace_back();
    for (float& value : block) value = unit * (normal(engine) + offset);
    if (i % 4 == 0) block[static_cast<std::size_t>(i % 32)] *= 8;
  }
  return blocks;
}

// In double, of what is stored.
double error_of(const Numbers& block, double scale, double minimum, const BlockIntegers& q) {
  double sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) sum += std::pow(scale * q[i] + minimum - block[i], 2);
  return sum;
}
double error_of(WeightFormat format, const Numbers& block, const FittedBlock& fit) {
  const BlockLine line = stored_line(format, fit.word);
  return error_of(block, line.scale, line.minimum, fit.q);
}

constexpr WeightFormat all_formats[] = {WeightFormat::q8, WeightFormat::q6, WeightFormat::q5, WeightFormat::q4};
constexpr WeightFormat formats_of_lines[] = {WeightFormat::q6, WeightFormat::q5, WeightFormat::q4};

double largest_integer(WeightFormat format) {
  return format == WeightFormat::q8 ? 127 : std::exp2(integer_bits(format)) - 1;
}
double least_integer(WeightFormat format) {
  return format == WeightFormat::q8 ? -127 : 0;
}

// Of the best rounding to a given line.
double error_of_line(const Numbers& block, double scale, double minimum, double low, double high) {
  double sum = 0;
  for (const float value : block) {
    const double q = std::clamp(std::nearbyint((value - minimum) / scale), low, high);
    sum += std::pow(scale * q + minimum - value, 2);
  }
  return sum;
}

// From the least to the largest, 0 among them.
double ends_error(WeightFormat format, const Numbers& block) {
  const auto [low, high] = std::minmax_element(block.begin(), block.end());
  const double least = std::min(*low, 0.0F);
  const double scale = (std::max(*high, 0.0F) - least) / largest_integer(format);
  return error_of_line(block, scale, least, 0, largest_integer(format));
}

TEST(BlockFitTest, EveryIntegerIsTheNearest) {
  for (const Numbers& block : random_blocks(200)) {
    for (const WeightFormat format : all_formats) {
      const FittedBlock fit = fit_block(format, block);
      const BlockLine line = stored_line(format, fit.word);
      const double low = least_integer(format);
      const double high = largest_integer(format);
      EXPECT_NEAR(error_of(format, block, fit), error_of_line(block, line.scale, line.minimum, low, high),
                  1e-4 * error_of(format, block, fit));
      for (const int q : fit.q) EXPECT_TRUE(q >= low && q <= high) << q;
    }
  }
}

// The search's cost is that of scales of five bits of fraction, too.
TEST(BlockFitTest, LinesAreNearAnExhaustiveSearch) {
  for (const WeightFormat format : formats_of_lines) {
    SCOPED_TRACE(name_of(format));
    double found = 0;
    double ends = 0;
    double best = 0;
    for (Numbers block : random_blocks(200)) {
      const auto [least_of, most_of] = std::minmax_element(block.begin(), block.end());
      const float start = std::min(*least_of, 0.0F);
      const float range = std::max(*most_of, 0.0F) - start;
      for (float& value : block) value /= range;  // so that blocks count alike
      const double unit = 0.16 / (largest_integer(format) + 1);
      double least = std::numeric_limits<double>::infinity();
      for (int cut_low = -2; cut_low < 25; ++cut_low) {
        for (int cut_high = -2; cut_high < 25; ++cut_high) {
          const double minimum = start / range + unit * cut_low;
          const double scale = (1 - unit * (cut_low + cut_high)) / largest_integer(format);
          least = std::min(least, error_of_line(block, scale, minimum, 0, largest_integer(format)));
        }
      }
      const double error = error_of(format, block, fit_block(format, block));
      // Either end may be off by a scale's last bit.
      EXPECT_LE(error, 1.2 * ends_error(format, block) + 1.5 * std::pow(1.0 / 32, 2));
      found += error;
      ends += ends_error(format, block);
      best += least;
    }
    // A scale's last bit weighs the more, the finer the steps are.
    const int bits = integer_bits(format);
    EXPECT_LT(found, (bits == 4 ? 0.9 : bits == 5 ? 1.0 : 1.1) * ends);
    EXPECT_LT(found, (bits == 4 ? 1.2 : bits == 5 ? 1.25 : 1.4) * best);
  }
}

TEST(BlockFitTest, EightBitsAreNoWorseThanTheLargestMagnitude) {
  for (const Numbers& block : random_blocks(200)) {
    float largest = 0;
    for (const float value : block) largest = std::max(largest, std::abs(value));
    const double scale = to_float(to_f16(largest / 127));
    EXPECT_LE(error_of(WeightFormat::q8, block, fit_block(WeightFormat::q8, block)),
              1.0001 * error_of_line(block, scale, 0, -127, 127));
  }
}

// What a line can say exactly, it says exactly.
TEST(BlockFitTest, ExactBlocksStayExact) {
  std::mt19937_64 engine(std::random_device{}());
  for (const WeightFormat format : formats_of_lines) {
    const auto most = static_cast<unsigned>(largest_integer(format));
    for (int round = 0; round < 50; ++round) {
      Numbers block;
      for (float& value : block) value = 0.25F * static_cast<float>(engine() % (most + 1)) - 1;
      block[3] = -1;
      block[9] = 0.25F * static_cast<float>(most) - 1;
      EXPECT_EQ(error_of(format, block, fit_block(format, block)), 0);
    }
  }
}

TEST(BlockFitTest, TheLargestAndTheSmallestNumbers) {
  for (const float value : {65504.0F, -65504.0F, 1e-30F, 6e-8F, 0.0F}) {
    Numbers block{};
    block[5] = value;
    for (const WeightFormat format : all_formats) {
      const FittedBlock fit = fit_block(format, block);
      EXPECT_TRUE(std::isfinite(stored_line(format, fit.word).scale));
      const double share = format == WeightFormat::q8 ? 2e-3 : 0.016;
      EXPECT_LE(std::sqrt(error_of(format, block, fit)), share * std::abs(value) + 1e-7) << name_of(format);
    }
  }
  Numbers both{};
  both[0] = 65504;
  both[1] = -65504;
  EXPECT_LE(error_of(WeightFormat::q4, both, fit_block(WeightFormat::q4, both)), 32 * std::pow(65504.0 / 15, 2));
}

}  // namespace
}  // namespace precis
