#include "backend/cuda/attention_split.cuh"

namespace precis::cuda {

void launch_split_bf16(const SplitArgs& args, cudaStream_t stream) {
  launch_split_kernel<__nv_bfloat16>(args, stream);
}

}  // namespace precis::cuda
