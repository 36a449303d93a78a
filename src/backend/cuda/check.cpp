#include "backend/cuda/check.h"

#include "backend/cuda/cublas_lt.h"
#include "device/device_lost.h"

namespace precis::cuda {

bool is_lasting(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
    case cudaErrorAssert:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContextIsDestroyed:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
      return true;
    default:
      return false;
  }
}

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  const std::string line = fmt::format("cuda: {}: {} ({})", what, cudaGetErrorString(status), cudaGetErrorName(status));
  if (is_lasting(status)) throw DeviceLost(line);
  cudaGetLastError();  // it is not reported by the next launch again
  throw Error(line);
}

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  if (const cudaError_t cause = cudaPeekAtLastError(); is_lasting(cause)) check(cause, what);
  fail("cuda: {}: {}", what, cublas_lt().status_string(status));
}

void check_launch(const char* what) {
  check(cudaGetLastError(), what);
}

}  // namespace precis::cuda
