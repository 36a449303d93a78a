#include "backend/cuda/attention_split.cuh"

namespace precis::cuda {

void launch_split_f8(const SplitArgs& args, dim3 grid, cudaStream_t stream) {
  launch_split_heads<__nv_fp8_e4m3>(args, grid, stream);
}

}  // namespace precis::cuda
