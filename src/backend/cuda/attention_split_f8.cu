#include "backend/cuda/attention_split.cuh"

namespace precis::cuda {

void launch_split_f8(const SplitArgs& args, cudaStream_t stream) {
  launch_split_kernel<__nv_fp8_e4m3>(args, stream);
}

}  // namespace precis::cuda
