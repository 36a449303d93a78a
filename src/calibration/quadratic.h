// What rounding a row of weights costs, by the inputs that the row meets: ||X (w - w')||^2 = (w - w')^T H (w - w') with
// H = X^T X. Elias Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
// 2022, section 3.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <vector>

namespace precis {

// Immutable, so that rows can be rounded on any thread.
class Quadratic {
 public:
  // `sums` [inputs, inputs]: X^T X, symmetrical. `damping`, a share of the mean of its diagonal, is added to the
  // diagonal: what the text did not show is then taken to be small, not impossible. Inputs that were always 0 and sums
  // of nothing at all are allowed; numbers that are not finite throw Error.
  Quadratic(const float* sums, std::int64_t inputs, double damping);

  Eigen::Index inputs() const { return matrix_.rows(); }
  // H, damped.
  const Eigen::MatrixXf& matrix() const { return matrix_; }
  // Column b: sum of H's columns of block b of 32 inputs. [inputs, inputs / 32]
  const Eigen::MatrixXf& block_columns() const { return block_columns_; }
  // Inputs by H's diagonal, ascending: they are rounded from the last to the first, so that those rounded late, which
  // have little left to make up for their errors, are those that matter least.
  const std::vector<Eigen::Index>& order() const { return order_; }
  // L L^T = H with rows and columns in `order`; lower triangle.
  const Eigen::MatrixXf& factor() const { return factor_; }

 private:
  Eigen::MatrixXf matrix_;
  Eigen::MatrixXf block_columns_;
  std::vector<Eigen::Index> order_;
  Eigen::MatrixXf factor_;
};

}  // namespace precis
