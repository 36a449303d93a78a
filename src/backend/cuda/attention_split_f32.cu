#include "backend/cuda/attention_split.cuh"

namespace precis::cuda {

void launch_split_f32(const SplitArgs& args, dim3 grid, cudaStream_t stream) {
  launch_split_heads<float>(args, grid, stream);
}

}  // namespace precis::cuda
