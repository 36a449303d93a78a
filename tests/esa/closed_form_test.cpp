// The closed form against what it promises: no pair of maps does better, and the error is what singular values say.
#include "esa/closed_form.h"

#include <gtest/gtest.h>

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "base/error.h"
#include "esa/score_moments.h"
#include "support/random.h"

namespace precis::test {
namespace {

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Rows random_rows(Random& random, std::int64_t rows, std::int64_t columns) {
  return Rows::NullaryExpr(rows, columns, [&] { return static_cast<float>(random.unit() - 0.5); });
}

// Rows that vary in `rank` directions, far from evenly, and keys not around zero.
Rows uneven_rows(Random& random, std::int64_t rows, std::int64_t length, std::int64_t rank) {
  Rows mix = random_rows(random, rank, length);
  for (std::int64_t row = 0; row < rank; ++row) mix.row(row) *= std::exp2(-0.3F * static_cast<float>(row));
  return random_rows(random, rows, rank) * mix;
}

std::span<const float> all(const Rows& rows) {
  return {rows.data(), static_cast<std::size_t>(rows.size())};
}

Eigen::MatrixXd matrix(const std::vector<float>& rows, std::int64_t length) {
  return Eigen::Map<const Rows>(rows.data(), static_cast<std::int64_t>(rows.size()) / length, length).cast<double>();
}

// Over all pairs, with centred keys.
double mean_square(const Rows& queries, const Rows& keys, const Eigen::MatrixXd& a, const Eigen::MatrixXd& b) {
  const Eigen::MatrixXd q = queries.cast<double>();
  Eigen::MatrixXd k = keys.cast<double>();
  k.rowwise() -= k.colwise().mean().eval();
  const Eigen::MatrixXd error = q * k.transpose() - (q * a.transpose()) * (k * b.transpose()).transpose();
  return error.squaredNorm() / static_cast<double>(error.size());
}

struct Problem {
  std::int64_t length;
  Rows queries;
  Rows keys;
  Eigen::MatrixXd of_queries;
  Eigen::MatrixXd of_keys;

  Problem(Random& random, std::int64_t length_, std::int64_t query_rank, std::int64_t key_rank)
      : length(length_),
        queries(uneven_rows(random, 70, length_, query_rank)),
        keys(uneven_rows(random, 90, length_, key_rank)) {
    keys.rowwise() += random_rows(random, 1, length).row(0) * 5;
    ScoreMoments moments(length);
    moments.add_queries(all(queries));
    moments.add_keys(all(keys));
    of_queries = moments.of_queries();
    of_keys = moments.of_keys();
  }
  double error(const EsaLayer& layer) const {
    return mean_square(queries, keys, matrix(layer.q, length), matrix(layer.k, length));
  }
};

TEST(ScoreMomentsTest, AreDirectSums) {
  Random random(std::random_device{}());
  const std::int64_t length = random.between(3, 40);
  const Rows queries = random_rows(random, 700, length);
  Rows keys = random_rows(random, 1300, length);
  keys.col(1).array() += 3;
  ScoreMoments moments(length);
  for (const std::int64_t cut : {0, 300}) {
    const std::int64_t queries_end = cut == 0 ? 300 : 700;
    const std::int64_t keys_end = cut == 0 ? 300 : 1300;
    moments.add_queries(all(Rows(queries.middleRows(cut, queries_end - cut))));
    moments.add_keys(all(Rows(keys.middleRows(cut, keys_end - cut))));
  }
  EXPECT_EQ(moments.queries(), 700);
  EXPECT_EQ(moments.keys(), 1300);
  std::vector<double> mean(static_cast<std::size_t>(length));
  for (std::int64_t i = 0; i < length; ++i) {
    for (std::int64_t row = 0; row < 1300; ++row) mean[static_cast<std::size_t>(i)] += double{keys(row, i)} / 1300;
  }
  const Eigen::MatrixXd of_queries = moments.of_queries();
  const Eigen::MatrixXd of_keys = moments.of_keys();
  for (std::int64_t i = 0; i < length; ++i) {
    for (std::int64_t j = 0; j < length; ++j) {
      double query_sum = 0;
      double key_sum = 0;
      for (std::int64_t row = 0; row < 700; ++row) query_sum += double{queries(row, i)} * double{queries(row, j)};
      for (std::int64_t row = 0; row < 1300; ++row) {
        key_sum += (double{keys(row, i)} - mean[static_cast<std::size_t>(i)]) *
                   (double{keys(row, j)} - mean[static_cast<std::size_t>(j)]);
      }
      ASSERT_NEAR(of_queries(i, j), query_sum / 700, 1e-12) << i << ' ' << j;
      ASSERT_NEAR(of_keys(i, j), key_sum / 1300, 1e-12) << i << ' ' << j;
    }
  }
}

TEST(ScoreMomentsTest, EqualKeysVaryInNoDirection) {
  Random random(std::random_device{}());
  const Rows one = random_rows(random, 1, 24);
  ScoreMoments moments(24);
  moments.add_queries(all(random_rows(random, 50, 24)));
  moments.add_keys(all(Rows(one.replicate(777, 1))));
  EXPECT_EQ(moments.of_keys().norm(), 0);
  const EsaLayer layer = fit_scores(moments.of_queries(), moments.of_keys(), 5);
  EXPECT_EQ(layer.q, std::vector<float>(5 * 24));
  EXPECT_EQ(layer.k, std::vector<float>(5 * 24));
}

TEST(ClosedFormTest, ErrorIsTheTailOfTheSingularValues) {
  Random random(std::random_device{}());
  for (int round = 0; round < 5; ++round) {
    const std::int64_t length = random.between(4, 24);
    const Problem problem(random, length, length, length);
    // Singular values of Sq^1/2 Sk^1/2 squared are the eigenvalues of Sq Sk, got here by another way.
    Eigen::VectorXd squares = (problem.of_queries * problem.of_keys).eigenvalues().real();
    std::sort(squares.data(), squares.data() + length, std::greater<>());
    for (const std::int64_t dim : {std::int64_t{1}, length / 2, length - 1}) {
      const double expected = squares.tail(length - dim).sum();
      const EsaLayer layer = fit_scores(problem.of_queries, problem.of_keys, dim);
      EXPECT_NEAR(problem.error(layer), expected, 1e-7 * squares.sum() + 1e-3 * expected) << length << " to " << dim;
    }
  }
}

TEST(ClosedFormTest, NothingNearIsBetter) {
  Random random(std::random_device{}());
  const Problem problem(random, 12, 12, 12);
  const EsaLayer layer = fit_scores(problem.of_queries, problem.of_keys, 4);
  const Eigen::MatrixXd a = matrix(layer.q, 12);
  const Eigen::MatrixXd b = matrix(layer.k, 12);
  const double best = mean_square(problem.queries, problem.keys, a, b);
  for (int round = 0; round < 200; ++round) {
    const double size = std::exp2(-random.unit() * 12);
    const Eigen::MatrixXd other_a = a + size * a.norm() * random_rows(random, 4, 12).cast<double>();
    const Eigen::MatrixXd other_b = b + size * b.norm() * random_rows(random, 4, 12).cast<double>();
    EXPECT_GE(mean_square(problem.queries, problem.keys, other_a, other_b), best * (1 - 1e-6));
  }
}

TEST(ClosedFormTest, FirstRowsAreTheFitOfFewer) {
  Random random(std::random_device{}());
  const Problem problem(random, 20, 20, 20);
  const EsaLayer many = fit_scores(problem.of_queries, problem.of_keys, 15);
  const EsaLayer few = fit_scores(problem.of_queries, problem.of_keys, 6);
  for (std::size_t i = 0; i < few.q.size(); ++i) {
    EXPECT_EQ(few.q[i], many.q[i]) << i;
    EXPECT_EQ(few.k[i], many.k[i]) << i;
  }
}

TEST(ClosedFormTest, ScoresAreExactWhereRankSuffices) {
  Random random(std::random_device{}());
  const Problem problem(random, 30, 9, 13);
  for (const std::int64_t dim : {9, 12, 29}) {
    const EsaLayer layer = fit_scores(problem.of_queries, problem.of_keys, dim);
    for (const float value : layer.q) ASSERT_TRUE(std::isfinite(value));
    for (const float value : layer.k) ASSERT_TRUE(std::isfinite(value));
    const double whole =
        mean_square(problem.queries, problem.keys, Eigen::MatrixXd::Zero(1, 30), Eigen::MatrixXd::Zero(1, 30));
    EXPECT_LE(problem.error(layer), 1e-8 * whole) << dim;
  }
  const EsaLayer identity = identity_layer(30);
  EXPECT_EQ(problem.error(identity), 0);
}

TEST(ClosedFormTest, RefusesWhatIsNoNumber) {
  Eigen::MatrixXd moment = Eigen::MatrixXd::Identity(4, 4);
  const Eigen::MatrixXd good = moment;
  moment(2, 1) = std::nan("");
  EXPECT_THROW(fit_scores(moment, good, 2), Error);
  EXPECT_THROW(fit_scores(good, moment, 2), Error);
}

}  // namespace
}  // namespace precis::test
