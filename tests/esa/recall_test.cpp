// Recall on data of which it is known.
#include "esa/recall.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "esa/closed_form.h"
#include "support/random.h"

namespace precis::test {
namespace {

using Indices = std::vector<std::int64_t>;

TEST(TopIndicesTest, TiesGoToTheSmallerIndex) {
  const std::vector<double> scores = {1, 3, 2, 3, 2, 2, 0};
  EXPECT_EQ(top_indices(scores, 1), (Indices{1}));
  EXPECT_EQ(top_indices(scores, 3), (Indices{1, 2, 3}));
  EXPECT_EQ(top_indices(scores, 4), (Indices{1, 2, 3, 4}));
  EXPECT_EQ(top_indices(scores, 7), (Indices{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(top_indices(scores, 9), (Indices{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(top_indices({}, 2), (Indices{}));
}

TEST(TopIndicesTest, AreThoseOfASort) {
  Random random(std::random_device{}());
  for (int round = 0; round < 50; ++round) {
    std::vector<double> scores(static_cast<std::size_t>(random.between(1, 200)));
    for (double& score : scores) score = static_cast<double>(random.below(30));
    const std::int64_t top = random.between(1, 220);
    Indices sorted(scores.size());
    for (std::size_t i = 0; i < sorted.size(); ++i) sorted[i] = static_cast<std::int64_t>(i);
    std::stable_sort(sorted.begin(), sorted.end(), [&](std::int64_t a, std::int64_t b) {
      return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
    });
    sorted.resize(static_cast<std::size_t>(std::min(top, static_cast<std::int64_t>(sorted.size()))));
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(top_indices(scores, top), sorted);
  }
}

TEST(TopRecallTest, IdentityRecallsAll) {
  Random random(std::random_device{}());
  std::vector<float> keys(300 * 6);
  for (float& value : keys) value = static_cast<float>(random.unit() - 0.5);
  RecallQueries queries;
  for (const std::int64_t candidates : {300, 41, 299}) {
    for (int i = 0; i < 6; ++i) queries.rows.push_back(static_cast<float>(random.unit() - 0.5));
    queries.candidates.push_back(candidates);
  }
  EXPECT_EQ(top_recall(queries, keys, identity_layer(6), 6, 6, 40), 1.0);
}

// Two dimensions, of which the projection keeps the first: the query's score is the sum of both.
TEST(TopRecallTest, CountsTheShareThatIsFound) {
  const std::vector<float> keys = {9, 0, 8, 0, 0, 7, 0, 6, 5, 0, 4, 0, 100, 100};
  const EsaLayer first{{1, 0}, {1, 0}};
  // Exact: keys 0, 1, 2, 3; by the first dimension: 0, 1, 4, 5. The last key comes later than the query.
  EXPECT_EQ(top_recall({{1, 1}, {6}}, keys, first, 2, 1, 4), 0.5);
  // A second query that sees five keys: exact 0, 1, 2, 3; found 0, 1, 4 and, of two zeros, the earlier.
  EXPECT_EQ(top_recall({{1, 1, 1, 1}, {6, 5}}, keys, first, 2, 1, 4), (0.5 + 0.75) / 2);
  // Queries with no more candidates than are chosen say nothing.
  EXPECT_EQ(top_recall({{1, 1, 1, 1}, {6, 4}}, keys, first, 2, 1, 4), 0.5);
  EXPECT_EQ(top_recall({{1, 1}, {4}}, keys, first, 2, 1, 4), std::nullopt);
}

TEST(TopRecallTest, UsesTheFirstRowsOfLargerProjections) {
  const std::vector<float> keys = {9, 0, 8, 0, 0, 7, 0, 6, 5, 0, 4, 0};
  const EsaLayer both{{1, 0, 0, 1}, {1, 0, 0, 1}};
  EXPECT_EQ(top_recall({{1, 1}, {6}}, keys, both, 2, 2, 4), 1.0);
  EXPECT_EQ(top_recall({{1, 1}, {6}}, keys, both, 2, 1, 4), 0.5);
}

}  // namespace
}  // namespace precis::test
