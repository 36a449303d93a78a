#include "calibration/quadratic.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "tensor/weight_format.h"

namespace precis {
namespace {

// Of H with rows and columns in `order`. In double: the damped H of 3072 inputs may have a condition number of 10^6.
Eigen::MatrixXf factor_of(const Eigen::MatrixXf& matrix, const std::vector<Eigen::Index>& order) {
  const Eigen::Index size = matrix.rows();
  Eigen::MatrixXd ordered(size, size);
  for (Eigen::Index column = 0; column < size; ++column) {
    for (Eigen::Index row = 0; row < size; ++row) {
      ordered(row, column) = matrix(order[static_cast<std::size_t>(row)], order[static_cast<std::size_t>(column)]);
    }
  }
  Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> cholesky(ordered);
  if (cholesky.info() != Eigen::Success) fail("moments of inputs are not positive definite");
  return ordered.cast<float>();
}

}  // namespace

Quadratic::Quadratic(const float* sums, std::int64_t inputs, double damping)
    : matrix_(Eigen::Map<const Eigen::MatrixXf>(sums, inputs, inputs)), order_(static_cast<std::size_t>(inputs)) {
  if (!matrix_.allFinite()) fail("the calibration text gives activations that are not finite numbers");
  const float mean = matrix_.diagonal().mean();
  matrix_.diagonal().array() += mean > 0 ? static_cast<float>(damping * static_cast<double>(mean)) : 1.0F;
  // Summed with rounding, the two triangles may differ in their last bits.
  matrix_.triangularView<Eigen::StrictlyUpper>() = matrix_.transpose();
  std::iota(order_.begin(), order_.end(), 0);
  std::stable_sort(order_.begin(), order_.end(),
                   [&](Eigen::Index a, Eigen::Index b) { return matrix_(a, a) < matrix_(b, b); });
  factor_ = factor_of(matrix_, order_);
  block_columns_.resize(inputs, inputs / quantized_block);
  for (Eigen::Index block = 0; block < block_columns_.cols(); ++block) {
    block_columns_.col(block) = matrix_.middleCols(quantized_block * block, quantized_block).rowwise().sum();
  }
}

}  // namespace precis
