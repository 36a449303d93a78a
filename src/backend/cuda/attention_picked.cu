#include "backend/cuda/attention_decode.cuh"

namespace precis::cuda {

void launch_decode_picked(const SplitArgs& args, dim3 grid, cudaStream_t stream) {
  if (args.batch.kv.type == DType::f8_e4m3) {
    launch_decode<__nv_fp8_e4m3, PickedTracks>(args, grid, stream);
  } else {
    launch_decode<__nv_bfloat16, PickedTracks>(args, grid, stream);
  }
}

}  // namespace precis::cuda
