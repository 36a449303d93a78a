#include "backend/cuda/attention_picked.cuh"

namespace precis::cuda {
namespace {

// As decode_kernel, of rows of which some have picked. Grid: see SplitRow.
template <typename Element, int dims>
__global__ void __launch_bounds__(split_threads, DecodeElements<Element>::blocks)
    decode_picked_kernel(const __grid_constant__ SplitArgs args) {
  __shared__ ShareRing<dims> ring;
  let_next_begin();
  const SplitRow at(args);
  if (!at.exists()) return wait_for_previous();
  const AttentionBatch& batch = args.batch;
  // The step's inputs, which were there before any of its operations.
  const RowRun run = batch.runs[at.piece.run];
  const PickedTracks tracks(batch, at.piece, run, at.kv_head);
  if (threadIdx.x == 0) ring.make();
  __syncthreads();
  const bool early = args.is_placed && run.picked;
  if (!early) wait_for_previous();
  // Before it waits it reads what was written by others that have ended: nothing older may be in the first-level cache.
  if (early) __threadfence();
  const int group = batch.heads / static_cast<int>(batch.kv.kv_heads);
  const auto attend = [&](int count, const auto& begin) {
    if (at.slot >= count) return wait_for_previous();
    int turn = 0;
    for (int in_group = 0; in_group < group; in_group += most_split_heads) {
      attend_heads<Element, dims>(args, at, tracks, begin, at.kv_head * group + in_group,
                                  min(most_split_heads, group - in_group), ring, turn);
    }
    if (static_cast<int>(threadIdx.x) / warp_lanes == 0) prefetch_next(args);
    merge_if_last(args, at, count);
  };
  const RowBounds& bounds = batch.bounds[at.row()];
  // Rows that have not picked go the way that they go where nobody has: their bits are the same.
  if (run.picked) {
    const PickedCut cut(batch.picks[at.piece.pick], bounds);
    attend(cut.count, [&] { return PickedWalk(cut, at.slot, args.slots, early); });
  } else {
    const Stretches stretches(bounds);
    attend(stretches.count, [&] { return WarpWalk(stretches, at.slot, args.slots); });
  }
}

template <typename Element>
void launch(const SplitArgs& args, dim3 grid, cudaStream_t stream) {
  if (args.batch.kv.head_dim <= 64) {
    launch_early("decode_picked", decode_picked_kernel<Element, 64>, grid, split_threads, stream, args);
  } else {
    launch_early("decode_picked", decode_picked_kernel<Element, 128>, grid, split_threads, stream, args);
  }
}

}  // namespace

void launch_decode_picked(const SplitArgs& args, dim3 grid, cudaStream_t stream) {
  if (args.batch.kv.type == DType::f8_e4m3) {
    launch<__nv_fp8_e4m3>(args, grid, stream);
  } else {
    launch<__nv_bfloat16>(args, grid, stream);
  }
}

}  // namespace precis::cuda
