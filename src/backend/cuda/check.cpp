#include "backend/cuda/check.h"

#include "backend/cuda/cublas_lt.h"
#include "base/error.h"

namespace precis::cuda {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // an error that does not last is not reported by the next launch again
  fail("cuda: {}: {} ({})", what, cudaGetErrorString(status), cudaGetErrorName(status));
}

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) fail("cuda: {}: {}", what, cublas_lt().status_string(status));
}

void check_launch(const char* what) {
  check(cudaGetLastError(), what);
}

}  // namespace precis::cuda
