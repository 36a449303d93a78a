// Products with many rows, by cuBLASLt.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <tuple>

#include "backend/cuda/device_memory.h"
#include "backend/cuda/kernels.h"

namespace precis::cuda {

// y[r] = W x[r], or y[r] += W x[r]; W and x of the same type, y floats, sums in floats.
struct Product {
  Operand operand = Operand::bf16;
  const void* weights = nullptr;  // [outputs, inputs]
  const void* x = nullptr;        // row r at x + r * x_stride (elements)
  std::int64_t x_stride = 0;
  float* y = nullptr;  // row r at y + r * y_stride
  std::int64_t y_stride = 0;
  std::int64_t rows = 0;
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
  bool accumulate = false;
};

class MatrixProducts {
 public:
  explicit MatrixProducts(std::shared_ptr<Stream> stream);
  ~MatrixProducts();
  MatrixProducts(const MatrixProducts&) = delete;
  MatrixProducts& operator=(const MatrixProducts&) = delete;

  // False, and nothing is done, where cuBLASLt has no kernel for such a shape.
  bool multiply(const Product& product);

 private:
  // All that an algorithm is chosen by; alignments are of the three addresses.
  using Key = std::tuple<Operand, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, unsigned,
                         unsigned, unsigned>;
  struct Plan {
    std::shared_ptr<cublasLtMatmulDescOpaque_t> operation;
    std::shared_ptr<cublasLtMatrixLayoutOpaque_t> weights;
    std::shared_ptr<cublasLtMatrixLayoutOpaque_t> x;
    std::shared_ptr<cublasLtMatrixLayoutOpaque_t> y;
    std::optional<cublasLtMatmulAlgo_t> algorithm;  // none: there is no kernel
  };

  const Plan& plan_for(const Product& product);
  Plan make_plan(const Product& product) const;

  std::shared_ptr<Stream> stream_;
  cublasLtHandle_t handle_ = nullptr;
  Buffer workspace_;
  std::map<Key, Plan> plans_;
};

}  // namespace precis::cuda
