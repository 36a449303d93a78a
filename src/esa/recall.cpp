#include "esa/recall.h"

#include <Eigen/Core>
#include <algorithm>
#include <iterator>
#include <numeric>

#include "base/error.h"

namespace precis {
namespace {

using Rows = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

// One column a row.
Eigen::MatrixXd columns(std::span<const float> rows, std::int64_t length) {
  return Rows(rows.data(), static_cast<std::int64_t>(rows.size()) / length, length).transpose().cast<double>();
}

Eigen::MatrixXd projection(const std::vector<float>& rows, std::int64_t length, std::int64_t dim) {
  return Rows(rows.data(), dim, length).cast<double>();
}

}  // namespace

std::vector<std::int64_t> top_indices(std::span<const double> scores, std::int64_t top) {
  std::vector<std::int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  const auto kept = std::min(top, static_cast<std::int64_t>(scores.size()));
  const auto before = [&](std::int64_t a, std::int64_t b) {
    const double left = scores[static_cast<std::size_t>(a)];
    const double right = scores[static_cast<std::size_t>(b)];
    return left > right || (left == right && a < b);
  };
  std::nth_element(order.begin(), order.begin() + kept, order.end(), before);
  order.resize(static_cast<std::size_t>(kept));
  std::sort(order.begin(), order.end());
  return order;
}

std::optional<double> top_recall(const RecallQueries& queries, std::span<const float> keys, const EsaLayer& layer,
                                 std::int64_t length, std::int64_t dim, std::int64_t top) {
  PRECIS_CHECK(queries.rows.size() == queries.candidates.size() * static_cast<std::size_t>(length));
  const Eigen::MatrixXd all_keys = columns(keys, length);
  const Eigen::MatrixXd all_queries = columns(queries.rows, length);
  const Eigen::MatrixXd short_keys = projection(layer.k, length, dim) * all_keys;
  const Eigen::MatrixXd short_queries = projection(layer.q, length, dim) * all_queries;
  double sum = 0;
  std::int64_t counted = 0;
  for (std::size_t query = 0; query < queries.candidates.size(); ++query) {
    const std::int64_t candidates = queries.candidates[query];
    if (candidates <= top) continue;
    const auto chosen = [&](const Eigen::MatrixXd& by, const Eigen::MatrixXd& of) {
      const Eigen::VectorXd scores = of.leftCols(candidates).transpose() * by.col(static_cast<Eigen::Index>(query));
      return top_indices({scores.data(), static_cast<std::size_t>(candidates)}, top);
    };
    const std::vector<std::int64_t> exact = chosen(all_queries, all_keys);
    const std::vector<std::int64_t> found = chosen(short_queries, short_keys);
    std::vector<std::int64_t> both;
    std::set_intersection(exact.begin(), exact.end(), found.begin(), found.end(), std::back_inserter(both));
    sum += static_cast<double>(both.size()) / static_cast<double>(top);
    ++counted;
  }
  if (counted == 0) return std::nullopt;
  return sum / static_cast<double>(counted);
}

}  // namespace precis
