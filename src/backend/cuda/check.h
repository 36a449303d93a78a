// Every call of CUDA and cuBLAS goes through here: what fails throws precis::Error with one line that names the call,
// and DeviceLost where the GPU does not work any more for this process.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

namespace precis::cuda {

// Whether a call that ended so leaves the GPU unusable for this process: a kernel or the hardware has failed, and every
// later call ends alike.
bool is_lasting(cudaError_t status);

// Throws Error("cuda: WHAT: ...") unless `status` is success.
void check(cudaError_t status, const char* what);
void check(cublasStatus_t status, const char* what);

// After a launch of the kernel `what`: its configuration was refused, or something before it failed.
void check_launch(const char* what);

}  // namespace precis::cuda
