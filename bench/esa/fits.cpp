#include "fits.h"

#include <Eigen/Eigenvalues>
#include <cmath>
#include <numbers>
#include <random>

namespace precis::bench {
namespace {

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

std::vector<float> floats(const Rows& rows) {
  return {rows.data(), rows.data() + rows.size()};
}

// Adam's state of one matrix.
class Moving {
 public:
  Moving(Eigen::Index rows, Eigen::Index columns)
      : first_(Rows::Zero(rows, columns)), second_(Rows::Zero(rows, columns)) {}

  void step(Rows& matrix, const Rows& gradient, std::int64_t count, double rate) {
    constexpr float beta1 = 0.9F;
    constexpr float beta2 = 0.999F;
    first_ = beta1 * first_ + (1 - beta1) * gradient;
    second_ = beta2 * second_ + (1 - beta2) * gradient.cwiseAbs2();
    const auto at = static_cast<double>(count + 1);
    const auto one = static_cast<float>(1 / (1 - std::pow(double{beta1}, at)));
    const auto two = static_cast<float>(1 / (1 - std::pow(double{beta2}, at)));
    matrix.array() -= static_cast<float>(rate) * one * first_.array() / ((two * second_.array()).sqrt() + 1e-8F);
  }

 private:
  Rows first_;
  Rows second_;
};

// So that numbers have a mean square of 1.
float unit_scale(const Rows& rows) {
  const double mean = rows.cast<double>().squaredNorm() / static_cast<double>(rows.size());
  return mean > 0 ? static_cast<float>(1 / std::sqrt(mean)) : 1;
}

}  // namespace

EsaLayer fit_principal(const ScoreMoments& moments, std::int64_t dim) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(moments.of_keys());
  const Rows rows = solver.eigenvectors().rightCols(dim).rowwise().reverse().transpose().cast<float>();
  return {floats(rows), floats(rows)};
}

EsaLayer fit_adam(const FitRows& rows, std::int64_t dim, const AdamOptions& options) {
  const std::int64_t length = rows.length;
  Rows queries =
      Eigen::Map<const Rows>(rows.queries.data(), static_cast<std::int64_t>(rows.queries.size()) / length, length);
  Rows keys = Eigen::Map<const Rows>(rows.keys.data(), static_cast<std::int64_t>(rows.keys.size()) / length, length);
  const Eigen::RowVectorXf mean = keys.colwise().mean();
  keys.rowwise() -= mean;
  queries *= unit_scale(queries);
  keys *= unit_scale(keys);

  std::mt19937_64 random(options.seed);
  std::normal_distribution<float> normal(0, 1 / std::sqrt(static_cast<float>(length)));
  const auto noise = [&] { return Rows(Rows::NullaryExpr(dim, length, [&] { return normal(random); })); };
  Rows a = noise();
  Rows b = noise();
  Moving a_moves(dim, length);
  Moving b_moves(dim, length);
  Rows some_queries(options.batch, length);
  Rows some_keys(options.batch, length);
  const auto draw = [&](const Rows& from, Rows& to) {
    std::uniform_int_distribution<Eigen::Index> row(0, from.rows() - 1);
    for (Eigen::Index i = 0; i < to.rows(); ++i) to.row(i) = from.row(row(random));
  };
  const float share = 2 / static_cast<float>(options.batch * options.batch);
  for (std::int64_t step = 0; step < options.steps; ++step) {
    draw(queries, some_queries);
    draw(keys, some_keys);
    const Rows short_queries = some_queries * a.transpose();
    const Rows short_keys = some_keys * b.transpose();
    const Rows error = short_queries * short_keys.transpose() - some_queries * some_keys.transpose();
    const Rows a_gradient = share * ((error * short_keys).transpose() * some_queries);
    const Rows b_gradient = share * ((error.transpose() * short_queries).transpose() * some_keys);
    const double done = static_cast<double>(step) / static_cast<double>(options.steps);
    const double rate = options.rate * 0.5 * (1 + std::cos(std::numbers::pi * done));
    a_moves.step(a, a_gradient, step, rate);
    b_moves.step(b, b_gradient, step, rate);
  }
  return {floats(a), floats(b)};
}

}  // namespace precis::bench
