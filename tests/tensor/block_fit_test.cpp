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
double error_of(const Numbers& block, const Q4Block& fit) {
  return error_of(block, to_float(fit.scale), to_float(fit.minimum), fit.q);
}
double error_of(const Numbers& block, const Q8Block& fit) {
  return error_of(block, to_float(fit.scale), 0, fit.q);
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

double ends_error(const Numbers& block) {
  const auto [low, high] = std::minmax_element(block.begin(), block.end());
  return error_of_line(block, (*high - *low) / 15, *low, 0, 15);
}

TEST(BlockFitTest, EveryIntegerIsTheNearest) {
  for (const Numbers& block : random_blocks(200)) {
    const Q4Block four = fit_q4(block);
    const double scale = to_float(four.scale);
    const double minimum = to_float(four.minimum);
    EXPECT_NEAR(error_of(block, four), error_of_line(block, scale, minimum, 0, 15), 1e-5 * error_of(block, four));
    for (const int q : four.q) EXPECT_TRUE(q >= 0 && q <= 15) << q;
    const Q8Block eight = fit_q8(block);
    EXPECT_NEAR(error_of(block, eight), error_of_line(block, to_float(eight.scale), 0, -127, 127),
                1e-4 * error_of(block, eight));
  }
}

TEST(BlockFitTest, FourBitsAreNearAnExhaustiveSearch) {
  double found = 0;
  double ends = 0;
  double best = 0;
  for (Numbers block : random_blocks(200)) {
    const auto [low, high] = std::minmax_element(block.begin(), block.end());
    const float start = *low;
    const float range = *high - *low;
    for (float& value : block) value = (value - start) / range;  // so that blocks count alike
    double least = std::numeric_limits<double>::infinity();
    for (int cut_low = -2; cut_low < 25; ++cut_low) {
      for (int cut_high = -2; cut_high < 25; ++cut_high) {
        const double minimum = 0.01 * cut_low;
        least = std::min(least, error_of_line(block, (1 - minimum - 0.01 * cut_high) / 15, minimum, 0, 15));
      }
    }
    const double error = error_of(block, fit_q4(block));
    EXPECT_LE(error, 1.001 * ends_error(block) + 1e-6);
    found += error;
    ends += ends_error(block);
    best += least;
  }
  EXPECT_LT(found, 0.9 * ends);
  EXPECT_LT(found, 1.1 * best);
}

TEST(BlockFitTest, EightBitsAreNoWorseThanTheLargestMagnitude) {
  for (const Numbers& block : random_blocks(200)) {
    float largest = 0;
    for (const float value : block) largest = std::max(largest, std::abs(value));
    const double scale = to_float(to_f16(largest / 127));
    EXPECT_LE(error_of(block, fit_q8(block)), 1.0001 * error_of_line(block, scale, 0, -127, 127));
  }
}

// What four bits can say exactly, they say exactly.
TEST(BlockFitTest, ExactBlocksStayExact) {
  std::mt19937_64 engine(std::random_device{}());
  for (int round = 0; round < 50; ++round) {
    Numbers block;
    for (float& value : block) value = 0.25F * static_cast<float>(engine() % 16) - 1;
    block[3] = -1;
    block[9] = 2.75F;
    EXPECT_EQ(error_of(block, fit_q4(block)), 0);
  }
}

TEST(BlockFitTest, TheLargestAndTheSmallestNumbers) {
  for (const float value : {65504.0F, -65504.0F, 1e-30F, 6e-8F, 0.0F}) {
    Numbers block{};
    block[5] = value;
    const Q4Block four = fit_q4(block);
    const Q8Block eight = fit_q8(block);
    EXPECT_TRUE(std::isfinite(to_float(four.scale)) && std::isfinite(to_float(four.minimum)));
    EXPECT_TRUE(std::isfinite(to_float(eight.scale)));
    EXPECT_LE(std::sqrt(error_of(block, four)), 2e-3 * std::abs(value) + 1e-7);
    EXPECT_LE(std::sqrt(error_of(block, eight)), 2e-3 * std::abs(value) + 1e-7);
  }
  Numbers both{};
  both[0] = 65504;
  both[1] = -65504;
  EXPECT_LE(error_of(both, fit_q4(both)), 32 * std::pow(65504.0 / 15, 2));
}

}  // namespace
}  // namespace precis
