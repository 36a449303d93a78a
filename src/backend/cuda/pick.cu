// What was picked: K and V copied to pages of their own, keys turned on the way; queries turned to one distance; and
// short keys kept.
#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include "backend/cuda/check.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/select.h"
#include "backend/cuda/select_view.cuh"

namespace precis::cuda {
namespace {

constexpr int warps = 8;
constexpr int threads = warps * warp_lanes;

template <typename Element>
__device__ inline Element rounded(float value) {
  if constexpr (std::is_same_v<Element, float>) return value;
  if constexpr (std::is_same_v<Element, __nv_bfloat16>) return __float2bfloat16_rn(value);
  if constexpr (std::is_same_v<Element, __nv_fp8_e4m3>) {
    __nv_fp8_e4m3 result;
    result.__x = __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3);
    return result;
  }
}

template <typename Element>
__global__ void __launch_bounds__(threads) keep_short_kernel(const __grid_constant__ KeepShortArgs args) {
  let_next_begin();
  const std::int64_t dims = args.kv.short_dim;
  const std::int64_t index = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  const std::int64_t row = index / dims;
  const std::int64_t slot = row < args.rows ? args.slots[row] : -1;
  wait_for_previous();
  if (slot < 0) return;
  const std::int64_t page = slot / args.kv.page_entries;
  const auto in_page = static_cast<int>(slot - page * args.kv.page_entries);
  short_key<Element>(args.kv, page, in_page)[index % dims] = rounded<Element>(args.x[index]);
}

// A turn by the angle from one position to another: of both, cosines and then sines.
struct Turn {
  const float* from;
  const float* to;
  int half;

  // The pair's new numbers.
  __device__ float2 operator()(int pair, float low, float high) const {
    const float cosine = to[pair] * from[pair] + to[half + pair] * from[half + pair];
    const float sine = to[half + pair] * from[pair] - to[pair] * from[half + pair];
    return make_float2(low * cosine - high * sine, high * cosine + low * sine);
  }
};

__device__ inline int position_of(const EntryPositions& of, int entry) {
  const int first = entry / of.entries * of.text;
  return max(first, first + (entry % of.entries + of.shift) * of.text / of.entries - 1);
}

struct PickKernelArgs {
  KvView kv;
  KvView picked;
  const PickRun* runs;
  const std::int32_t* list;
  KeyTurn turn;
  EntryPositions positions;
  const float* rotations;
};

__device__ inline std::byte* entry_at(const KvView& kv, std::int64_t page, int head, int in_page, int entry_bytes) {
  return page_keys(kv, page) + (static_cast<std::int64_t>(head) * kv.page_entries + in_page) * entry_bytes;
}

// Bytes of an entry that a lane copies at once: entries are whole 8 bytes.
__device__ inline void copy_entry(const std::byte* from, std::byte* to, int bytes) {
  for (int at = 8 * (static_cast<int>(threadIdx.x) % warp_lanes); at < bytes; at += 8 * warp_lanes) {
    *reinterpret_cast<uint2*>(to + at) = __ldcs(reinterpret_cast<const uint2*>(from + at));
  }
}

template <typename Element>
__device__ inline void turn_key(const std::byte* from, std::byte* to, const Turn& turn) {
  const auto* x = reinterpret_cast<const Element*>(from);
  auto* y = reinterpret_cast<Element*>(to);
  for (int pair = static_cast<int>(threadIdx.x) % warp_lanes; pair < turn.half; pair += warp_lanes) {
    const float2 turned = turn(pair, static_cast<float>(x[pair]), static_cast<float>(x[pair + turn.half]));
    y[pair] = rounded<Element>(turned.x);
    y[pair + turn.half] = rounded<Element>(turned.y);
  }
}

// A warp has an entry of a KV head. Grid: (entries, KV heads, runs).
template <typename Element>
__global__ void __launch_bounds__(threads) pick_kernel(const __grid_constant__ PickKernelArgs args) {
  let_next_begin();
  const PickRun run = args.runs[blockIdx.z];
  const int index = static_cast<int>(blockIdx.x * warps + threadIdx.x / warp_lanes);
  wait_for_previous();
  if (index >= count_of(run)) return;
  const int head = static_cast<int>(blockIdx.y);
  const auto dims = static_cast<int>(args.kv.head_dim);
  const int bytes = dims * static_cast<int>(sizeof(Element));
  const auto page_entries = static_cast<int>(args.kv.page_entries);
  const std::int64_t place = static_cast<std::int64_t>(run.first_page) * page_entries + index;
  const int entry = args.list[place];
  const EntryPlace at(run.track, args.kv, entry);
  const std::byte* key = entry_at(args.kv, at.page, head, at.in_page, bytes);
  std::byte* copy = entry_at(args.picked, place / page_entries, head, static_cast<int>(place % page_entries), bytes);
  copy_entry(key + args.kv.value_offset, copy + args.picked.value_offset, bytes);
  const int from = args.turn == KeyTurn::none ? 0 : position_of(args.positions, entry);
  const int to = args.turn == KeyTurn::packed ? position_of(args.positions, run.local - chosen_of(run) + index) : 0;
  if (args.turn == KeyTurn::none || from == to) return copy_entry(key, copy, bytes);
  turn_key<Element>(key, copy,
                    {args.rotations + static_cast<std::int64_t>(from) * dims,
                     args.rotations + static_cast<std::int64_t>(to) * dims, dims / 2});
}

struct TurnKernelArgs {
  const float* q;
  std::int64_t q_stride;
  float* y;
  const std::int32_t* positions;
  const float* rotations;
  int heads;
  int head_dim;
  const PickRun* runs;
};

// A warp has a head of a row. Grid: (heads of all rows of the longest run, runs).
__global__ void __launch_bounds__(threads) turn_kernel(const __grid_constant__ TurnKernelArgs args) {
  let_next_begin();
  const PickRun run = args.runs[blockIdx.y];
  const int index = static_cast<int>(blockIdx.x * warps + threadIdx.x / warp_lanes);
  wait_for_previous();
  if (index >= run.rows * args.heads) return;
  const int head = index % args.heads;
  const std::int64_t row = run.first_row + index / args.heads;
  const std::int64_t dims = args.head_dim;
  const float* x = args.q + row * args.q_stride + head * dims;
  float* y = args.y + (row * args.heads + head) * dims;
  const Turn turn{args.rotations + args.positions[row] * dims, args.rotations + run.distance * dims,
                  static_cast<int>(dims / 2)};
  for (int pair = static_cast<int>(threadIdx.x) % warp_lanes; pair < turn.half; pair += warp_lanes) {
    const float2 turned = turn(pair, x[pair], x[pair + turn.half]);
    y[pair] = turned.x;
    y[pair + turn.half] = turned.y;
  }
}

}  // namespace

void launch_keep_short(const KeepShortArgs& args, cudaStream_t stream) {
  if (args.rows == 0) return;
  const dim3 grid(static_cast<unsigned>(blocks_for(args.rows * args.kv.short_dim, threads)));
  if (args.kv.short_type() == DType::f32) {
    launch_early("keep_short", keep_short_kernel<float>, grid, threads, stream, args);
  } else {
    launch_early("keep_short", keep_short_kernel<__nv_bfloat16>, grid, threads, stream, args);
  }
}

void launch_pick(const PickArgs& args, cudaStream_t stream) {
  std::int32_t count = 0;
  for (const PickRun& run : args.runs) count = std::max(count, run.count());
  const PickKernelArgs pick{args.kv,   args.picked,    args.device_runs, args.list,
                            args.turn, args.positions, args.rotations};
  const dim3 grid(static_cast<unsigned>(blocks_for(count, warps)), static_cast<unsigned>(args.kv.kv_heads),
                  static_cast<unsigned>(args.runs.size()));
  if (args.kv.type == DType::f32) {
    launch_early("pick", pick_kernel<float>, grid, threads, stream, pick);
  } else if (args.kv.type == DType::bf16) {
    launch_early("pick", pick_kernel<__nv_bfloat16>, grid, threads, stream, pick);
  } else {
    launch_early("pick", pick_kernel<__nv_fp8_e4m3>, grid, threads, stream, pick);
  }
}

void launch_turn(const TurnArgs& args, cudaStream_t stream) {
  std::int32_t rows = 0;
  for (const PickRun& run : args.runs) rows = std::max(rows, run.rows);
  const TurnKernelArgs turn{args.q,
                            args.q_stride,
                            args.y,
                            args.positions,
                            args.rotations,
                            static_cast<int>(args.heads),
                            static_cast<int>(args.head_dim),
                            args.device_runs};
  const dim3 grid(static_cast<unsigned>(blocks_for(rows * args.heads, warps)), static_cast<unsigned>(args.runs.size()));
  launch_early("turn", turn_kernel, grid, threads, stream, turn);
}

}  // namespace precis::cuda
