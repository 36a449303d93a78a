// Every call of CUDA and cuBLAS goes through here: what fails throws precis::Error with one line that names the call.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

namespace precis::cuda {

// Throws Error("cuda: WHAT: ...") unless `status` is success.
void check(cudaError_t status, const char* what);
void check(cublasStatus_t status, const char* what);

// After a launch of the kernel `what`: its configuration was refused, or something before it failed.
void check_launch(const char* what);

}  // namespace precis::cuda
