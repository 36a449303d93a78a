#include "backend/cuda/attention_decode.cuh"

namespace precis::cuda {

void launch_decode_f8(const SplitArgs& args, dim3 grid, cudaStream_t stream) {
  launch_decode<__nv_fp8_e4m3>(args, grid, stream);
}

}  // namespace precis::cuda
