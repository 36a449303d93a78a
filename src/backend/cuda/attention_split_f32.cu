#include "backend/cuda/attention_split.cuh"

namespace precis::cuda {

void launch_split_f32(const SplitArgs& args, dim3 grid, cudaStream_t stream) {
  const std::int64_t dim = args.batch.kv.head_dim;
  if (dim <= 8 * lane_dims) {
    launch_split_lanes<float, 8>(args, grid, stream);
  } else if (dim <= 16 * lane_dims) {
    launch_split_lanes<float, 16>(args, grid, stream);
  } else {
    launch_split_lanes<float, 32>(args, grid, stream);
  }
}

}  // namespace precis::cuda
