// From q/k/v products to attention: norms per head, blending of summary rows, rotation, storing of K and V.
#include <cuda_fp8.h>

#include "backend/cuda/check.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/numbers.cuh"

namespace precis::cuda {
namespace {

constexpr int warps = 4;

// Dimensions of a head that a lane holds: pairs (i, i + half) for i = lane, lane + 32, ...
template <int pairs_a_lane>
struct HeadPart {
  float low[pairs_a_lane];
  float high[pairs_a_lane];

  __device__ void load(const float* head, int lane, int half) {
#pragma unroll
    for (int j = 0; j < pairs_a_lane; ++j) {
      const int pair = lane + j * warp_lanes;
      low[j] = pair < half ? head[pair] : 0;
      high[j] = pair < half ? head[pair + half] : 0;
    }
  }

  // x / sqrt(mean(x^2) + epsilon) * weight
  __device__ void norm(const HeadPart& weights, float epsilon, int lane, int half) {
    float squares = 0;
#pragma unroll
    for (int j = 0; j < pairs_a_lane; ++j) squares = fmaf(low[j], low[j], fmaf(high[j], high[j], squares));
    const float root = sqrtf(lane_sum(squares) / static_cast<float>(2 * half) + epsilon);
#pragma unroll
    for (int j = 0; j < pairs_a_lane; ++j) {
      if (lane + j * warp_lanes >= half) continue;
      low[j] = low[j] / root * weights.low[j];
      high[j] = high[j] / root * weights.high[j];
    }
  }

  __device__ void blend(const HeadPart& own, float mix) {
#pragma unroll
    for (int j = 0; j < pairs_a_lane; ++j) {
      low[j] = mix * own.low[j] + (1 - mix) * low[j];
      high[j] = mix * own.high[j] + (1 - mix) * high[j];
    }
  }

  // `rotation`: cosines and sines.
  __device__ void rotate(const HeadPart& rotation) {
#pragma unroll
    for (int j = 0; j < pairs_a_lane; ++j) {
      const float a = low[j];
      const float b = high[j];
      low[j] = a * rotation.low[j] - b * rotation.high[j];
      high[j] = b * rotation.low[j] + a * rotation.high[j];
    }
  }

  template <typename Write>
  __device__ void store(int lane, int half, const Write& write) const {
#pragma unroll
    for (int j = 0; j < pairs_a_lane; ++j) {
      const int pair = lane + j * warp_lanes;
      if (pair >= half) continue;
      write(pair, low[j]);
      write(pair + half, high[j]);
    }
  }
};

// Where K or V of an entry is to be stored.
__device__ inline std::byte* entry_of(const KvView& kv, std::int64_t slot, std::int64_t kv_head, bool is_value) {
  const auto at = static_cast<std::uint64_t>(slot);
  const auto entries = static_cast<std::uint32_t>(kv.page_entries);
  // Slots beyond 2^32 are those of pools beyond any GPU's; narrow numbers are divided several times faster.
  const std::uint32_t page = static_cast<std::uint32_t>(at) / entries;
  const std::uint32_t entry = static_cast<std::uint32_t>(at) - page * entries;
  const std::int64_t element_bytes = kv.type == DType::f32 ? 4 : kv.type == DType::bf16 ? 2 : 1;
  return kv.base + page * kv.page_bytes + kv.layer_offset + (is_value ? kv.value_offset : 0) +
         (kv_head * kv.page_entries + entry) * kv.head_dim * element_bytes;
}

template <typename Part>
__device__ void store_entry(const Part& part, const KvView& kv, std::byte* entry, int lane, int half) {
  if (kv.type == DType::f32) {
    auto* to = reinterpret_cast<float*>(entry);
    part.store(lane, half, [&](int at, float value) { to[at] = value; });
  } else if (kv.type == DType::f8_e4m3) {
    auto* to = reinterpret_cast<__nv_fp8_storage_t*>(entry);
    part.store(lane, half,
               [&](int at, float value) { to[at] = __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3); });
  } else {
    auto* to = reinterpret_cast<__nv_bfloat16*>(entry);
    part.store(lane, half, [&](int at, float value) { to[at] = __float2bfloat16_rn(value); });
  }
}

// One warp a head of q, k or v of a row. Weights, rotation and slots were there before the kernel that this one may
// overlap with.
template <int pairs_a_lane>
__global__ void place_kernel(const __grid_constant__ PlaceArgs args) {
  using Part = HeadPart<pairs_a_lane>;
  let_next_begin();
  const int lane = threadIdx.x % warp_lanes;
  const auto heads = static_cast<std::uint32_t>(args.heads);
  const auto kv_heads = static_cast<std::uint32_t>(args.kv.kv_heads);
  const std::uint32_t all_heads = heads + 2 * kv_heads;
  const std::uint32_t index = blockIdx.x * warps + threadIdx.x / warp_lanes;
  const std::uint32_t row = index / all_heads;
  if (row >= args.rows) return wait_for_previous();
  const std::uint32_t head = index % all_heads;
  const std::int64_t dim = args.kv.head_dim;
  const int half = static_cast<int>(dim / 2);
  const bool is_query = head < heads;
  const bool is_value = head >= heads + kv_heads;
  const float* norm = is_value ? nullptr : is_query ? args.q_norm : args.k_norm;
  Part weights;
  if (norm != nullptr) weights.load(norm, lane, half);
  Part rotation;
  if (!is_value) rotation.load(args.rotation + row * dim, lane, half);
  const std::int64_t slot = is_query ? -1 : args.slots[row];
  std::byte* entry = nullptr;
  if (slot >= 0) entry = entry_of(args.kv, slot, head - heads - (is_value ? kv_heads : 0), is_value);
  wait_for_previous();

  float* x = args.qkv + index * dim;
  Part part;
  part.load(x, lane, half);
  if (norm != nullptr) part.norm(weights, args.epsilon, lane, half);
  if (args.own != nullptr && row >= args.first_summary) {
    Part own;
    own.load(args.own + ((row - args.first_summary) * all_heads + head) * dim, lane, half);
    if (norm != nullptr) own.norm(weights, args.epsilon, lane, half);
    part.blend(own, args.mix);
  }
  if (!is_value) part.rotate(rotation);
  part.store(lane, half, [&](int at, float value) { x[at] = value; });
  if (entry != nullptr) store_entry(part, args.kv, entry, lane, half);
}

}  // namespace

void launch_place(const PlaceArgs& args, cudaStream_t stream) {
  const std::int64_t heads = args.rows * (args.heads + 2 * args.kv.kv_heads);
  if (heads == 0) return;
  const auto blocks = static_cast<unsigned>(blocks_for(heads, warps));
  if (args.kv.head_dim <= 4 * warp_lanes) {
    launch_early("place", place_kernel<2>, dim3(blocks), warps * warp_lanes, stream, args);
  } else {
    launch_early("place", place_kernel<4>, dim3(blocks), warps * warp_lanes, stream, args);
  }
}

}  // namespace precis::cuda
