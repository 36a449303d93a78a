// K and V in e4m3 of long runs -> bf16, as the kernels of tiles read them. A block widens one page.
#include "backend/cuda/attention_plan.h"
#include "backend/cuda/check.h"
#include "backend/cuda/f8.cuh"
#include "backend/cuda/kv_address.cuh"
#include "backend/cuda/tensor_core.cuh"

namespace precis::cuda {
namespace {

constexpr int widen_threads = 256;

// Exactly, as are the halves between.
__device__ uint2 widened(std::uint32_t word) {
  std::uint32_t first = 0;
  std::uint32_t second = 0;
  widen_f8(word, first, second);
  const float2 low = halves(first);
  const float2 high = halves(second);
  return make_uint2(pair_of(low.x, low.y), pair_of(high.x, high.y));
}

// A page's keys, or its values, of neighbouring KV heads; 8 numbers at a time, so that what a warp writes lies
// together.
__device__ void widen_side(const std::byte* from, std::byte* to, int eights) {
  for (int i = static_cast<int>(threadIdx.x); i < eights; i += widen_threads) {
    const uint2 words = __ldcs(reinterpret_cast<const uint2*>(from) + i);
    const uint2 low = widened(words.x);
    const uint2 high = widened(words.y);
    reinterpret_cast<uint4*>(to)[i] = make_uint4(low.x, low.y, high.x, high.y);
  }
}

// Grid: (places of a run, runs). How many pages a run has, and which, is read here, never planned by: a step that was
// recorded (Ops::repeat) holds as they grow.
__global__ void __launch_bounds__(widen_threads) widen_kernel(const __grid_constant__ WidenArgs args) {
  const RowRun run = args.from_runs[args.runs[blockIdx.y]];
  const int place = static_cast<int>(blockIdx.x);
  const int first = static_cast<int>(blockIdx.y) * args.run_places;
  if (threadIdx.x == 0) {
    args.table[first + place] = first + place;
    if (place == 0) {
      RowRun to = run;
      to.text.pages = args.table + first;
      to.summary.pages = args.table + first + args.text_places;
      args.to_runs[blockIdx.y] = to;
    }
  }
  const bool summary = place >= args.text_places;
  const TrackPages track = summary ? run.summary : run.text;
  const int index = place - (summary ? args.text_places : 0);
  if (index >= track.count) return;
  const int page = track.pages[index];
  if (page < 0) return;  // nobody sees it
  const std::int64_t head_bytes = args.from.page_entries * args.from.head_dim;
  const KvView& view = summary && run.picked ? args.picked : args.from;
  const std::byte* from = page_keys(view, page) + args.first_head * head_bytes;
  std::byte* to = args.to.base + (first + place) * args.to.page_bytes;
  const int eights = static_cast<int>(args.heads * head_bytes / 8);
  widen_side(from, to, eights);
  widen_side(from + view.value_offset, to + args.to.value_offset, eights);
}

}  // namespace

void launch_widen(const WidenArgs& args, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(args.run_places), static_cast<unsigned>(args.count));
  widen_kernel<<<grid, widen_threads, 0, stream>>>(args);
  check_launch("widen");
}

}  // namespace precis::cuda
