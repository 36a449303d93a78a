#include "backend/cuda/attention_split.cuh"

namespace precis::cuda {

void launch_split_wide(const SplitArgs& args, dim3 grid, cudaStream_t stream) {
  launch_split_lanes<__nv_bfloat16, 32>(args, grid, stream);
}

}  // namespace precis::cuda
