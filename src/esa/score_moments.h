// What the scores of a text depend on: the second moments of its queries and of its keys.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <span>

namespace precis {

// Sums in double, in blocks of rows. Used by one thread at a time.
class ScoreMoments {
 public:
  // `length`: of a query (summed over the heads of each KV group) and of a key (all KV heads side by side).
  explicit ScoreMoments(std::int64_t length);

  // Rows of `length` numbers.
  void add_queries(std::span<const float> rows);
  void add_keys(std::span<const float> rows);

  std::int64_t length() const { return query_sums_.rows(); }
  std::int64_t queries() const { return queries_; }
  std::int64_t keys() const { return keys_; }
  // E[Q Q^T]; zero without queries.
  Eigen::MatrixXd of_queries() const;
  // E[(k - mu) (k - mu)^T], where mu is the mean key; zero without keys.
  Eigen::MatrixXd of_keys() const;

 private:
  Eigen::MatrixXd query_sums_;  // lower triangle
  Eigen::MatrixXd key_sums_;    // lower triangle
  Eigen::VectorXd key_sum_;
  std::int64_t queries_ = 0;
  std::int64_t keys_ = 0;
};

}  // namespace precis
