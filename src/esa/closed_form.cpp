#include "esa/closed_form.h"

#include <Eigen/Eigenvalues>
#include <Eigen/SVD>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace precis {
namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// S^1/2 and its pseudo-inverse. What rounding makes of a zero eigenvalue counts as zero.
struct Roots {
  Eigen::MatrixXd root;
  Eigen::MatrixXd inverse;
};

Roots roots_of(const Eigen::MatrixXd& moment, const char* what) {
  if (!moment.allFinite()) fail("the text gives {} that are not finite numbers", what);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(moment);
  if (solver.info() != Eigen::Success) fail("the second moments of {} have no eigenvalues", what);
  const Eigen::VectorXd& values = solver.eigenvalues();
  const double least = values.cwiseAbs().maxCoeff() * static_cast<double>(moment.rows()) * 1e-14;
  const auto kept = [&](double value) { return value > least; };
  const Eigen::VectorXd root = values.unaryExpr([&](double value) { return kept(value) ? std::sqrt(value) : 0.0; });
  const Eigen::VectorXd inverse =
      values.unaryExpr([&](double value) { return kept(value) ? 1 / std::sqrt(value) : 0.0; });
  const Eigen::MatrixXd& vectors = solver.eigenvectors();
  return {vectors * root.asDiagonal() * vectors.transpose(), vectors * inverse.asDiagonal() * vectors.transpose()};
}

std::vector<float> floats(const RowMajor& rows) {
  std::vector<float> values(static_cast<std::size_t>(rows.size()));
  Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(values.data(), rows.rows(),
                                                                                    rows.cols()) = rows.cast<float>();
  return values;
}

}  // namespace

EsaLayer fit_scores(const Eigen::MatrixXd& of_queries, const Eigen::MatrixXd& of_keys, std::int64_t dim) {
  PRECIS_CHECK(dim > 0 && dim < of_queries.rows() && of_queries.rows() == of_keys.rows());
  const Roots queries = roots_of(of_queries, "queries");
  const Roots keys = roots_of(of_keys, "keys");
  const Eigen::BDCSVD<Eigen::MatrixXd> svd(queries.root * keys.root, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Eigen::VectorXd& all = svd.singularValues();
  const double least = all(0) * static_cast<double>(all.size()) * std::numeric_limits<double>::epsilon();
  const Eigen::VectorXd scale = all.unaryExpr([&](double value) { return value > least ? std::sqrt(value) : 0.0; });
  // All rows, so that the bits of the first do not depend on how many are wanted.
  const Eigen::MatrixXd a = scale.asDiagonal() * svd.matrixU().transpose() * queries.inverse;
  const Eigen::MatrixXd b = scale.asDiagonal() * svd.matrixV().transpose() * keys.inverse;
  return {floats(a.topRows(dim)), floats(b.topRows(dim))};
}

EsaLayer identity_layer(std::int64_t length) {
  const RowMajor identity = RowMajor::Identity(length, length);
  return {floats(identity), floats(identity)};
}

}  // namespace precis
