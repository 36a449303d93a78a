// Launches that overlap: a kernel may begin while the one before it in the stream still runs, which hides the time that
// starting takes.
//
// Rules for kernels that are launched so: wait_for_previous() comes before anything is written, and before anything is
// read that the kernels before it in the stream may still be writing. What comes before it may read weights, a step's
// inputs and its rotation (their copy and kernel are followed by a plain launch, which waits for them), and may fetch K
// and V to the second-level cache. Every block that does anything calls it, so that a kernel ends after all that were
// launched before it. let_next_begin() may come anywhere: the next one waits by itself. Behind wait_for_previous() it
// tells the next one that all before this kernel has ended: so attention begins before it waits for launch_top
// (SplitArgs::is_placed).
#pragma once

#include <cuda_runtime.h>

#include <utility>

#include "backend/cuda/check.h"

namespace precis::cuda {

// Everything that was launched before has ended, and what it wrote is seen.
__device__ inline void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}

// Blocks of the next kernel may take what this one leaves free.
__device__ inline void let_next_begin() {
#if __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

// `shared_bytes`: of memory that the kernel takes beside what it declares.
struct LaunchShape {
  dim3 grid;
  int threads;
  int shared_bytes = 0;
  int cluster = 1;  // blocks of the first dimension that run together; more than one: compute capability 9.0
};

// `name`: for the message when it fails.
template <typename... Parameters, typename... Arguments>
void launch_early(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape, cudaStream_t stream,
                  Arguments&&... arguments) {
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {static_cast<unsigned>(shape.cluster), 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = dim3(static_cast<unsigned>(shape.threads));
  config.dynamicSmemBytes = static_cast<std::size_t>(shape.shared_bytes);
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = shape.cluster > 1 ? 2 : 1;
  check(cudaLaunchKernelEx(&config, kernel, Parameters(std::forward<Arguments>(arguments))...), name);
}

template <typename... Parameters, typename... Arguments>
void launch_early(const char* name, void (*kernel)(Parameters...), dim3 grid, int threads, cudaStream_t stream,
                  Arguments&&... arguments) {
  launch_early(name, kernel, LaunchShape{grid, threads}, stream, std::forward<Arguments>(arguments)...);
}

}  // namespace precis::cuda
