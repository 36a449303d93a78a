// Which matrices a budget of bits keeps at eight.
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

std::int64_t eights(const FormatChoice& choice) {
  return std::count_if(choice.begin(), choice.end(), [](const auto& of) { return of.second == WeightFormat::q8; });
}

TEST(BitBudget, FormatsHaveTheBitsThatAreDocumented) {
  EXPECT_EQ(bits_of(WeightFormat::q4), 5);
  EXPECT_EQ(bits_of(WeightFormat::q8), 8.5);
}

TEST(BitBudget, IsKeptAndSpentOnWhatCostsMostAWeight) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  Random random(seed);
  for (int round = 0; round < 200; ++round) {
    const std::vector<MatrixCost> costs = random_costs(random, static_cast<std::size_t>(random.between(1, 60)));
    const double bits = 5 + 3.5 * random.unit();
    const FormatChoice choice = spend_bits(costs, bits);
    ASSERT_EQ(choice.size(), costs.size());
    std::int64_t weights = 0;
    for (const MatrixCost& matrix : costs) weights += matrix.weights;
    EXPECT_LE(average_bits(costs, choice), bits + 3.5 / static_cast<double>(weights));
    // Each at four bits is cheaper a weight than those at eight, or has no room beside the dearer of these.
    for (const MatrixCost& four : costs) {
      if (choice.at(four.name) == WeightFormat::q8) continue;
      double taken = static_cast<double>(four.weights);
      for (const MatrixCost& eight : costs) {
        const bool dearer =
            eight.cost / static_cast<double>(eight.weights) > four.cost / static_cast<double>(four.weights);
        if (choice.at(eight.name) == WeightFormat::q8 && dearer) taken += static_cast<double>(eight.weights);
      }
      EXPECT_GT(taken, (bits - 5) / 3.5 * static_cast<double>(weights));
    }
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
  EXPECT_EQ(eights(spend_bits(costs, 5)), 0);
  EXPECT_EQ(eights(spend_bits(costs, 8.5)), 30);
  EXPECT_EQ(eights(spend_bits(costs, 16)), 30);
}

TEST(BitBudget, WhatDoesNotFitLeavesRoomForSmallerOnes) {
  const std::vector<MatrixCost> costs = {{"large", 960, 9}, {"small", 64, 0.1}, {"tiny", 32, 0.01}};
  const FormatChoice choice = spend_bits(costs, 5.25);  // room for 75 weights
  EXPECT_EQ(choice.at("large"), WeightFormat::q4);
  EXPECT_EQ(choice.at("small"), WeightFormat::q8);
  EXPECT_EQ(choice.at("tiny"), WeightFormat::q4);
}

}  // namespace
}  // namespace precis::test
