#include "backend/cuda/attention_decode.cuh"

namespace precis::cuda {

bool decodes(const KvView& kv) {
  // Entries in e4m3 are to be whole 16 bytes.
  return kv.head_dim <= 128 && (kv.type == DType::bf16 || (kv.type == DType::f8_e4m3 && kv.head_dim % 16 == 0));
}

void launch_split_attention(const SplitArgs& args, cudaStream_t stream) {
  const KvView& kv = args.batch.kv;
  const dim3 grid(static_cast<unsigned>(args.slots * kv.kv_heads), static_cast<unsigned>(args.most_rows),
                  static_cast<unsigned>(args.batch.count));
  if (decodes(kv)) {
    if (args.picks) return launch_decode_picked(args, grid, stream);
    if (kv.type == DType::f8_e4m3) return launch_decode_f8(args, grid, stream);
    return launch_decode<__nv_bfloat16>(args, grid, stream);
  }
  if (kv.type == DType::f32) return launch_split_f32(args, grid, stream);
  if (kv.type == DType::f8_e4m3) return launch_split_f8(args, grid, stream);
  launch_split_wide(args, grid, stream);
}

}  // namespace precis::cuda
