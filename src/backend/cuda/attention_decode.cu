#include "backend/cuda/attention_decode.cuh"

namespace precis::cuda {

void launch_split_attention(const SplitArgs& args, cudaStream_t stream) {
  const AttentionBatch& batch = args.batch;
  const dim3 grid(static_cast<unsigned>(args.slots * batch.kv.kv_heads), static_cast<unsigned>(args.most_rows),
                  static_cast<unsigned>(batch.count));
  if (batch.kv.type == DType::f32) {
    launch_split_f32(args, grid, stream);
  } else if (batch.kv.type == DType::f8_e4m3) {
    // Others' entries are no whole 16 bytes.
    const bool fits = batch.kv.head_dim <= 128 && batch.kv.head_dim % 16 == 0;
    (fits ? launch_decode_f8 : launch_split_f8)(args, grid, stream);
  } else if (batch.kv.head_dim <= 128) {
    launch_decode<__nv_bfloat16>(args, grid, stream);
  } else {
    launch_split_wide(args, grid, stream);
  }
}

}  // namespace precis::cuda
