// Which formats matrices get from a budget of bits.
#include "calibration/bit_budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "support/random.h"

namespace precis::test {
namespace {

std::vector<MatrixCost> random_costs(Random& random, std::size_t count) {
  std::vector<MatrixCost> costs;
  for (std::size_t index = 0; index < count; ++index) {
    costs.push_back({"m" + std::to_string(index), 32 * random.between(1, 100), random.unit()});
  }
  return costs;
}

double average_bits(const std::vector<MatrixCost>& costs, const FormatChoice& choice) {
  double bits = 0;
  double weights = 0;
  for (const MatrixCost& matrix : costs) {
    bits += bits_of(choice.at(matrix.name)) * static_cast<double>(matrix.weights);
    weights += static_cast<double>(matrix.weights);
  }
  return bits / weights;
}

std::int64_t count(const FormatChoice& choice, WeightFormat format) {
  return std::count_if(choice.begin(), choice.end(), [&](const auto& of) { return of.second == format; });
}

// What is left of the costs, a weight's bit at a time costing a quarter of the one before.
double cost_left(const std::vector<MatrixCost>& costs, const FormatChoice& choice) {
  double left = 0;
  for (const MatrixCost& matrix : costs) left += share_left(choice.at(matrix.name)) * matrix.cost;
  return left;
}

TEST(BitBudget, FormatsHaveTheBitsThatAreDocumented) {
  EXPECT_EQ(bits_of(WeightFormat::q4), 4.5);
  EXPECT_EQ(bits_of(WeightFormat::q5), 5.5);
  EXPECT_EQ(bits_of(WeightFormat::q6), 6.5);
  EXPECT_EQ(bits_of(WeightFormat::q8), 8.5);
}

// Against every choice there is, where taking the best offer first is best: of equal sizes, and of costs so near each
// other that all become q5 before any q6, and q6 before any q8, whose step is of two bits.
TEST(BitBudget, NoOtherChoiceOfTheSameBitsCostsLess) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  Random random(seed);
  constexpr WeightFormat formats[] = {WeightFormat::q4, WeightFormat::q5, WeightFormat::q6, WeightFormat::q8};
  for (int round = 0; round < 50; ++round) {
    std::vector<MatrixCost> costs = random_costs(random, 4);
    for (MatrixCost& matrix : costs) matrix = {matrix.name, 64, 0.3 + 0.7 * matrix.cost};
    for (const double bits : {4.5, 4.75, 5.0, 5.25, 5.5, 6.0, 6.25}) {
      const FormatChoice choice = spend_bits(costs, bits);
      double least = cost_left(costs, choice);
      const double taken = average_bits(costs, choice);
      for (int all = 0; all < 256; ++all) {
        FormatChoice other;
        for (std::size_t i = 0; i < 4; ++i) other[costs[i].name] = formats[all >> 2 * i & 3];
        if (average_bits(costs, other) <= taken) least = std::min(least, cost_left(costs, other));
      }
      EXPECT_NEAR(cost_left(costs, choice), least, 1e-12);
    }
  }
}

TEST(BitBudget, IsKept) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  Random random(seed);
  for (int round = 0; round < 200; ++round) {
    const std::vector<MatrixCost> costs = random_costs(random, static_cast<std::size_t>(random.between(1, 60)));
    const double bits = 4.5 + 4 * random.unit();
    const FormatChoice choice = spend_bits(costs, bits);
    ASSERT_EQ(choice.size(), costs.size());
    std::int64_t weights = 0;
    std::int64_t largest = 0;
    for (const MatrixCost& matrix : costs) {
      weights += matrix.weights;
      largest = std::max(largest, matrix.weights);
    }
    EXPECT_LE(average_bits(costs, choice), bits + 1 / static_cast<double>(weights));
    // What is left would not do for the largest matrix's next format.
    EXPECT_GT(average_bits(costs, choice) + 2 * static_cast<double>(largest) / static_cast<double>(weights),
              bits - 1e-9);
  }
}

TEST(BitBudget, TheOrderOfTheListDoesNotMatter) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  Random random(seed);
  std::vector<MatrixCost> costs = random_costs(random, 40);
  for (MatrixCost& matrix : costs) {
    if (random.chance(0.5)) matrix.weights = 64;
    if (random.chance(0.5)) matrix.cost = 0.25;  // equal ones
  }
  const FormatChoice choice = spend_bits(costs, 6.5);
  for (int round = 0; round < 10; ++round) {
    for (std::size_t i = costs.size() - 1; i > 0; --i) {
      std::swap(costs[i], costs[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(i) + 1))]);
    }
    EXPECT_EQ(spend_bits(costs, 6.5), choice);
  }
}

TEST(BitBudget, EndsAreAllFourAndAllEight) {
  Random random(7);
  const std::vector<MatrixCost> costs = random_costs(random, 30);
  EXPECT_EQ(count(spend_bits(costs, 4.5), WeightFormat::q4), 30);
  EXPECT_EQ(count(spend_bits(costs, 8.5), WeightFormat::q8), 30);
  EXPECT_EQ(count(spend_bits(costs, 16), WeightFormat::q8), 30);
}

TEST(BitBudget, WhatDoesNotFitLeavesRoomForSmallerOnes) {
  const std::vector<MatrixCost> costs = {{"large", 960, 9}, {"small", 64, 0.1}, {"tiny", 32, 0.01}};
  const FormatChoice choice = spend_bits(costs, 4.6);  // room for 105 bits
  EXPECT_EQ(choice.at("large"), WeightFormat::q4);
  EXPECT_EQ(choice.at("small"), WeightFormat::q5);
  EXPECT_EQ(choice.at("tiny"), WeightFormat::q5);
}

}  // namespace
}  // namespace precis::test
