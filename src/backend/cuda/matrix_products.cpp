#include "backend/cuda/matrix_products.h"

#include "backend/cuda/check.h"
#include "backend/cuda/cublas_lt.h"

namespace precis::cuda {
namespace {

constexpr std::int64_t workspace_bytes = 32 << 20;
// Shapes remembered at most: a server meets every number of rows up to a step's.
constexpr std::size_t most_plans = 4096;
// No kernel asks for more.
constexpr std::uintptr_t best_alignment = 256;

unsigned alignment_of(const void* address) {
  const auto bits = reinterpret_cast<std::uintptr_t>(address) | best_alignment;
  return static_cast<unsigned>(bits & (~bits + 1));
}

cudaDataType_t type_of(Operand operand) {
  return operand == Operand::f32 ? CUDA_R_32F : operand == Operand::f16 ? CUDA_R_16F : CUDA_R_16BF;
}

// cuBLASLt reads matrices column by column, so that ours are transposed to it: [rows, width] is width x rows.
std::shared_ptr<cublasLtMatrixLayoutOpaque_t> layout(cudaDataType_t type, std::int64_t width, std::int64_t rows,
                                                     std::int64_t stride) {
  cublasLtMatrixLayout_t made = nullptr;
  check(cublas_lt().layout_create(&made, type, static_cast<std::uint64_t>(width), static_cast<std::uint64_t>(rows),
                                  stride),
        "cublasLtMatrixLayoutCreate");
  return {made, cublas_lt().layout_destroy};
}

}  // namespace

MatrixProducts::MatrixProducts(std::shared_ptr<Stream> stream)
    : stream_(std::move(stream)), workspace_(allocate_device(stream_, workspace_bytes)) {
  check(cublas_lt().create(&handle_), "cublasLtCreate");
}

MatrixProducts::~MatrixProducts() {
  plans_.clear();
  cublas_lt().destroy(handle_);
}

MatrixProducts::Plan MatrixProducts::make_plan(const Product& product) const {
  const cudaDataType_t type = type_of(product.operand);
  cublasLtMatmulDesc_t operation = nullptr;
  // Floats are multiplied as floats: nothing is rounded to TF32.
  check(cublas_lt().desc_create(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  Plan plan{.operation = {operation, cublas_lt().desc_destroy},
            .weights = layout(type, product.inputs, product.outputs, product.inputs),
            .x = layout(type, product.inputs, product.rows, product.x_stride),
            .y = layout(CUDA_R_32F, product.outputs, product.rows, product.y_stride),
            .algorithm = std::nullopt};
  const cublasOperation_t transposed = CUBLAS_OP_T;
  check(cublas_lt().desc_set_attribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed),
        "cublasLtMatmulDescSetAttribute");

  cublasLtMatmulPreference_t made = nullptr;
  check(cublas_lt().preference_create(&made), "cublasLtMatmulPreferenceCreate");
  const std::shared_ptr<cublasLtMatmulPreferenceOpaque_t> preference(made, cublas_lt().preference_destroy);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check(cublas_lt().preference_set_attribute(made, attribute, &value, sizeof value),
          "cublasLtMatmulPreferenceSetAttribute");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(workspace_bytes));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(product.weights));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(product.x));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(product.y));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(product.y));

  cublasLtMatmulHeuristicResult_t result{};
  int found = 0;
  const cublasStatus_t status = cublas_lt().get_heuristic(handle_, operation, plan.weights.get(), plan.x.get(),
                                                          plan.y.get(), plan.y.get(), made, 1, &result, &found);
  if (status != CUBLAS_STATUS_NOT_SUPPORTED) check(status, "cublasLtMatmulAlgoGetHeuristic");
  if (status == CUBLAS_STATUS_SUCCESS && found > 0 && result.state == CUBLAS_STATUS_SUCCESS) {
    plan.algorithm = result.algo;
  }
  return plan;
}

const MatrixProducts::Plan& MatrixProducts::plan_for(const Product& product) {
  const Key key{product.operand,
                product.rows,
                product.outputs,
                product.inputs,
                product.x_stride,
                product.y_stride,
                alignment_of(product.weights),
                alignment_of(product.x),
                alignment_of(product.y)};
  const auto found = plans_.find(key);
  if (found != plans_.end()) return found->second;
  if (plans_.size() >= most_plans) plans_.clear();
  return plans_.emplace(key, make_plan(product)).first->second;
}

bool MatrixProducts::multiply(const Product& product) {
  const Plan& plan = plan_for(product);
  if (!plan.algorithm) return false;
  const float alpha = 1;
  const float beta = product.accumulate ? 1 : 0;
  check(cublas_lt().matmul(handle_, plan.operation.get(), &alpha, product.weights, plan.weights.get(), product.x,
                           plan.x.get(), &beta, product.y, plan.y.get(), product.y, plan.y.get(), &*plan.algorithm,
                           workspace_.as<void>(), static_cast<std::size_t>(workspace_bytes), stream_->get()),
        "cublasLtMatmul");
  return true;
}

}  // namespace precis::cuda
