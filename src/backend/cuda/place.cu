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
  __device__ void norm(const float* weight, float epsilon, int lane, int half) {
    float squares = 0;
#pragma unroll
    for (int j = 0; j < pairs_a_lane; ++j) squares = fmaf(low[j], low[j], fmaf(high[j], high[j], squares));
    const float root = sqrtf(lane_sum(squares) / static_cast<float>(2 * half) + epsilon);
#pragma unroll
    for (int j = 0; j < pairs_a_lane; ++j) {
      const int pair = lane + j * warp_lanes;
      if (pair >= half) continue;
      low[j] = low[j] / root * weight[pair];
      high[j] = high[j] / root * weight[pair + half];
    }
  }

  __device__ void blend(const HeadPart& own, float mix) {
#pragma unroll
    for (int j = 0; j < pairs_a_lane; ++j) {
      low[j] = mix * own.low[j] + (1 - mix) * low[j];
      high[j] = mix * own.high[j] + (1 - mix) * high[j];
    }
  }

  __device__ void rotate(const float* rotation, int lane, int half) {
#pragma unroll
    for (int j = 0; j < pairs_a_lane; ++j) {
      const int pair = lane + j * warp_lanes;
      if (pair >= half) continue;
      const float cosine = rotation[pair];
      const float sine = rotation[half + pair];
      const float a = low[j];
      const float b = high[j];
      low[j] = a * cosine - b * sine;
      high[j] = b * cosine + a * sine;
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

// One warp a head of q, k or v of a row.
template <int pairs_a_lane>
__global__ void place_kernel(PlaceArgs args) {
  let_next_begin();
  wait_for_previous();
  const int lane = threadIdx.x % warp_lanes;
  const std::int64_t kv_heads = args.kv.kv_heads;
  const std::int64_t all_heads = args.heads + 2 * kv_heads;
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * warps + threadIdx.x / warp_lanes;
  if (index >= args.rows * all_heads) return;
  const std::int64_t row = index / all_heads;
  const std::int64_t head = index % all_heads;
  const std::int64_t dim = args.kv.head_dim;
  const int half = static_cast<int>(dim / 2);
  const bool is_query = head < args.heads;
  const bool is_value = head >= args.heads + kv_heads;
  const float* norm = is_value ? nullptr : is_query ? args.q_norm : args.k_norm;

  float* x = args.qkv + index * dim;
  HeadPart<pairs_a_lane> part;
  part.load(x, lane, half);
  if (norm != nullptr) part.norm(norm, args.epsilon, lane, half);
  if (args.own != nullptr && row >= args.first_summary) {
    HeadPart<pairs_a_lane> own;
    own.load(args.own + ((row - args.first_summary) * all_heads + head) * dim, lane, half);
    if (norm != nullptr) own.norm(norm, args.epsilon, lane, half);
    part.blend(own, args.mix);
  }
  if (!is_value) part.rotate(args.rotation + row * dim, lane, half);
  part.store(lane, half, [&](int at, float value) { x[at] = value; });

  const std::int64_t slot = args.slots[row];
  if (is_query || slot < 0) return;
  const std::int64_t kv_head = head - args.heads - (is_value ? kv_heads : 0);
  const std::int64_t entries = args.kv.page_entries;
  const std::int64_t element = (kv_head * entries + slot % entries) * dim;
  std::byte* layer =
      args.kv.base + slot / entries * args.kv.page_bytes + args.kv.layer_offset + (is_value ? args.kv.value_offset : 0);
  if (args.kv.type == DType::f32) {
    float* to = reinterpret_cast<float*>(layer) + element;
    part.store(lane, half, [&](int at, float value) { to[at] = value; });
  } else if (args.kv.type == DType::f8_e4m3) {
    auto* to = reinterpret_cast<__nv_fp8_storage_t*>(layer) + element;
    part.store(lane, half,
               [&](int at, float value) { to[at] = __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3); });
  } else {
    __nv_bfloat16* to = reinterpret_cast<__nv_bfloat16*>(layer) + element;
    part.store(lane, half, [&](int at, float value) { to[at] = __float2bfloat16_rn(value); });
  }
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
