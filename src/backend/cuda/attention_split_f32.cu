#include "backend/cuda/attention_split.cuh"

namespace precis::cuda {

void launch_split_f32(const SplitArgs& args, cudaStream_t stream) {
  launch_split_kernel<float>(args, stream);
}

}  // namespace precis::cuda
