// The second moments of what a matrix is multiplied with: H = X^T X, summed over rows of calibration text.
#pragma once

#include <cstdint>
#include <vector>

#include "device/device.h"
#include "device/ops.h"

namespace precis {

class InputMoments {
 public:
  // Products with at most `rows` rows at a time. The device outlives it.
  InputMoments(Device& device, std::int64_t inputs, std::int64_t rows);

  // Adds the rows of a product, `args.x`. Sums are floats, in an order that does not depend on threads.
  void add(const LinearArgs& args);

  std::int64_t inputs() const { return inputs_; }
  // Added so far.
  std::int64_t rows() const { return rows_; }
  // H [inputs, inputs], symmetrical, in host memory that lives as long as this.
  const float* sums() const;

 private:
  Device& device_;
  std::int64_t inputs_;
  std::int64_t rows_ = 0;
  std::vector<float> columns_;  // [inputs, rows of a call]: the rows turned
  Buffer turned_;               // the same on the device
  Buffer sums_;                 // [inputs, inputs]
};

}  // namespace precis
