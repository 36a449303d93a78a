// From q/k/v products to attention: norms per head, blending of summary rows, rotation, storing of K and V.
#include <cuda_fp8.h>

#include "backend/cuda/check.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/kv_address.cuh"
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

  __device__ void add(const HeadPart& other) {
#pragma unroll
    for (int j = 0; j < pairs_a_lane; ++j) {
      low[j] += other.low[j];
      high[j] += other.high[j];
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
  return page_keys(kv, page) + (is_value ? kv.value_offset : 0) +
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

// A head of q, k or v of a row: all that is done to it, by one warp. Weights, rotation and slots were there before the
// kernel that this one may overlap with: the constructor reads them.
template <int pairs_a_lane>
class PlacedHead {
  using Part = HeadPart<pairs_a_lane>;

 public:
  __device__ PlacedHead(const PlaceArgs& args, std::uint32_t row, std::uint32_t head)
      : args_(args), row_(row), head_(head) {
    const auto heads = static_cast<std::uint32_t>(args.heads);
    const auto kv_heads = static_cast<std::uint32_t>(args.kv.kv_heads);
    const bool is_query = head < heads;
    is_value_ = head >= heads + kv_heads;
    norm_ = is_value_ ? nullptr : is_query ? args.q_norm : args.k_norm;
    if (norm_ != nullptr) weights_.load(norm_, lane_, half_);
    if (!is_value_) rotation_.load(args.rotation + row * args.kv.head_dim, lane_, half_);
    const std::int64_t slot = is_query ? -1 : args.slots[row];
    if (slot >= 0) entry_ = entry_of(args.kv, slot, head - heads - (is_value_ ? kv_heads : 0), is_value_);
  }

  // `plain`: is told the head before its rotation.
  template <typename Plain>
  __device__ void place(const Plain& plain) const {
    const std::uint32_t all_heads = static_cast<std::uint32_t>(args_.heads + 2 * args_.kv.kv_heads);
    const std::int64_t dim = args_.kv.head_dim;
    float* x = args_.qkv + (static_cast<std::int64_t>(row_) * all_heads + head_) * dim;
    Part part;
    part.load(x, lane_, half_);
    if (norm_ != nullptr) part.norm(weights_, args_.epsilon, lane_, half_);
    if (args_.own != nullptr && row_ >= args_.first_summary) {
      Part own;
      own.load(args_.own + ((row_ - args_.first_summary) * all_heads + head_) * dim, lane_, half_);
      if (norm_ != nullptr) own.norm(weights_, args_.epsilon, lane_, half_);
      part.blend(own, args_.mix);
    }
    plain(part);
    if (!is_value_) part.rotate(rotation_);
    part.store(lane_, half_, [&](int at, float value) { x[at] = value; });
    if (entry_ != nullptr) store_entry(part, args_.kv, entry_, lane_, half_);
  }

 private:
  const PlaceArgs& args_;
  std::uint32_t row_;
  std::uint32_t head_;
  int lane_ = static_cast<int>(threadIdx.x % warp_lanes);
  int half_ = static_cast<int>(args_.kv.head_dim / 2);
  bool is_value_;
  const float* norm_;
  Part weights_;
  Part rotation_;
  std::byte* entry_ = nullptr;
};

// One warp a head.
template <int pairs_a_lane>
__global__ void place_kernel(const __grid_constant__ PlaceArgs args) {
  let_next_begin();
  const auto all_heads = static_cast<std::uint32_t>(args.heads + 2 * args.kv.kv_heads);
  const std::uint32_t index = blockIdx.x * warps + threadIdx.x / warp_lanes;
  const std::uint32_t row = index / all_heads;
  if (row >= args.rows) return wait_for_previous();
  const PlacedHead<pairs_a_lane> head(args, row, index % all_heads);
  wait_for_previous();
  head.place([](const HeadPart<pairs_a_lane>&) {});
}

// Where rows choose: a block has a KV head of a row, whose queries it also adds up, each warp every (8)th one.
// Grid: KV heads of all rows.
constexpr int choosing_warps = 8;

template <int pairs_a_lane>
__global__ void __launch_bounds__(choosing_warps* warp_lanes)
    place_choosing_kernel(const __grid_constant__ PlaceArgs args) {
  using Part = HeadPart<pairs_a_lane>;
  __shared__ float sums[choosing_warps][2 * pairs_a_lane * warp_lanes];
  let_next_begin();
  const auto group = static_cast<std::uint32_t>(args.heads / args.kv.kv_heads);
  const auto kv_heads = static_cast<std::uint32_t>(args.kv.kv_heads);
  const std::uint32_t kv_head = blockIdx.x % kv_heads;
  const std::uint32_t row = blockIdx.x / kv_heads;
  const std::uint32_t warp = threadIdx.x / warp_lanes;
  const int lane = static_cast<int>(threadIdx.x % warp_lanes);
  const auto dim = static_cast<int>(args.kv.head_dim);
  const std::int64_t first = std::int64_t{blockIdx.x} * dim;
  wait_for_previous();
  Part sum{};
  // Queries of the group, then its key, then its value.
  for (std::uint32_t index = warp; index < group + 2; index += choosing_warps) {
    const std::uint32_t behind = static_cast<std::uint32_t>(args.heads) + kv_head;
    const std::uint32_t head = index < group ? kv_head * group + index : behind + (index - group) * kv_heads;
    PlacedHead<pairs_a_lane>(args, row, head).place([&](const Part& plain) {
      if (index < group) {
        sum.add(plain);
      } else if (index == group) {
        plain.store(lane, dim / 2, [&](int at, float value) { args.plain_keys[first + at] = value; });
      }
    });
  }
  sum.store(lane, dim / 2, [&](int at, float value) { sums[warp][at] = value; });
  __syncthreads();
  for (int at = static_cast<int>(threadIdx.x); at < dim; at += choosing_warps * warp_lanes) {
    float all = 0;
#pragma unroll
    for (const auto& of_warp : sums) all += of_warp[at];
    args.query_sums[first + at] = all;
  }
}

template <int pairs_a_lane>
void launch(const PlaceArgs& args, cudaStream_t stream) {
  if (args.query_sums != nullptr) {
    const dim3 grid(static_cast<unsigned>(args.kv.kv_heads * args.rows));
    launch_early("place", place_choosing_kernel<pairs_a_lane>, grid, choosing_warps * warp_lanes, stream, args);
    return;
  }
  const std::int64_t heads = args.rows * (args.heads + 2 * args.kv.kv_heads);
  const dim3 grid(static_cast<unsigned>(blocks_for(heads, warps)));
  launch_early("place", place_kernel<pairs_a_lane>, grid, warps * warp_lanes, stream, args);
}

}  // namespace

void launch_place(const PlaceArgs& args, cudaStream_t stream) {
  if (args.rows == 0) return;
  if (args.kv.head_dim <= 4 * warp_lanes) {
    launch<2>(args, stream);
  } else {
    launch<4>(args, stream);
  }
}

}  // namespace precis::cuda
