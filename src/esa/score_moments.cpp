#include "esa/score_moments.h"

#include <algorithm>

#include "base/error.h"

namespace precis {
namespace {

constexpr std::int64_t block_rows = 512;
constexpr double rounding = 1e-12;  // of floats, squared

using Rows = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

// work(block), columns of the block being rows of `rows`. Returns how many rows there are.
template <typename Work>
std::int64_t in_blocks(std::span<const float> rows, std::int64_t length, const Work& work) {
  const auto count = static_cast<std::int64_t>(rows.size()) / length;
  PRECIS_CHECK(count * length == static_cast<std::int64_t>(rows.size()), "{} numbers", rows.size());
  const Rows all(rows.data(), count, length);
  for (std::int64_t first = 0; first < count; first += block_rows) {
    const Eigen::MatrixXd block =
        all.middleRows(first, std::min(block_rows, count - first)).transpose().template cast<double>();
    work(block);
  }
  return count;
}

Eigen::MatrixXd whole(const Eigen::MatrixXd& lower) {
  return lower.selfadjointView<Eigen::Lower>();
}

}  // namespace

ScoreMoments::ScoreMoments(std::int64_t length)
    : query_sums_(Eigen::MatrixXd::Zero(length, length)),
      key_sums_(Eigen::MatrixXd::Zero(length, length)),
      key_sum_(Eigen::VectorXd::Zero(length)) {}

void ScoreMoments::add_queries(std::span<const float> rows) {
  queries_ += in_blocks(rows, length(), [&](const Eigen::MatrixXd& block) {
    query_sums_.selfadjointView<Eigen::Lower>().rankUpdate(block);
  });
}

void ScoreMoments::add_keys(std::span<const float> rows) {
  keys_ += in_blocks(rows, length(), [&](const Eigen::MatrixXd& block) {
    key_sums_.selfadjointView<Eigen::Lower>().rankUpdate(block);
    key_sum_ += block.rowwise().sum();
  });
}

Eigen::MatrixXd ScoreMoments::of_queries() const {
  return whole(query_sums_) / static_cast<double>(std::max<std::int64_t>(queries_, 1));
}

Eigen::MatrixXd ScoreMoments::of_keys() const {
  const double count = static_cast<double>(std::max<std::int64_t>(keys_, 1));
  const Eigen::VectorXd mean = key_sum_ / count;
  const Eigen::MatrixXd plain = whole(key_sums_) / count;
  Eigen::MatrixXd centred = plain - mean * mean.transpose();
  // Keys that are all alike, as those of summary tokens in a first layer are, leave rounding alone.
  if (centred.trace() <= rounding * plain.trace()) centred.setZero();
  return centred;
}

}  // namespace precis
