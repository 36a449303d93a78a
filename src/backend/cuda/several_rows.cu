// Products with several rows, where reading the weights is still what takes time, but too many multiply-adds for plain
// cores: tensor cores multiply 16 outputs and 8 rows at a time. Weights and rows go from memory right to the registers
// that they are wanted in: a product's inner dimension may be permuted if both sides are, and so lane 4 g + t has of
// every 32 inputs 8 t to 8 t + 7, 16 bytes as they lie, of outputs g and g + 8 and of row g of the rows' tiles.
//
// A cluster of blocks computes a few outputs for all rows. Each block has a share of the inputs, of which its warps
// take 64 in turn, so that they read long pieces of the matrix together. Sums are added in one fixed order, warp after
// warp and block after block, each block a part of the outputs. How inputs are shared depends on the matrices alone, so
// a row's bits are the same beside any others.
//
// Up to 4 rows are as exact as floats: they are there twice, rounded and what rounding left over.
#include "backend/cuda/several_rows.h"

#include <cooperative_groups.h>

#include <cstdlib>

#include "backend/cuda/check.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/tensor_core.cuh"

namespace precis::cuda {
namespace {

namespace cg = cooperative_groups;

constexpr int warps = 8;
constexpr int threads = warps * warp_lanes;
constexpr int step_spans = several_step / 32;

__device__ inline int lane_index() {
  return static_cast<int>(threadIdx.x) % warp_lanes;
}
__device__ inline int warp_index() {
  return static_cast<int>(threadIdx.x) / warp_lanes;
}

// A block's place: the outputs of its cluster, and the steps of inputs that it has.
struct Place {
  __device__ Place(const SeveralRows& args, int outputs)
      : rank(static_cast<int>(blockIdx.x) % args.shares),
        begin(rank * args.share_steps),
        end(min(begin + args.share_steps, (args.inputs + several_step - 1) / several_step)) {
    int tile = static_cast<int>(blockIdx.x) / args.shares;
    part = 0;
    while (!args.gated && part + 1 < args.count) {
      const int tiles = (args.parts[part].outputs + outputs - 1) / outputs;
      if (tile < tiles) break;
      tile -= tiles;
      ++part;
    }
    first = tile * (args.gated ? outputs / 2 : outputs);
  }

  int rank;
  int begin;
  int end;
  int part;
  int first;  // output of the part
};

// This lane's weights of a step: [tile of 16 outputs][32 inputs][output g or g + 8].
template <int output_tiles>
struct StepWeights {
  uint4 of[output_tiles][step_spans][2];
};

// The rows of a block's outputs: gated, half of the tiles are the gate's and half of them up's.
template <int output_tiles>
class WeightRows {
 public:
  __device__ WeightRows(const SeveralRows& args, const Place& at) : inputs_(args.inputs) {
#pragma unroll
    for (int tile = 0; tile < output_tiles; ++tile) {
      const bool is_up = args.gated && tile >= output_tiles / 2;
      const FewRowsPart& part = args.parts[is_up ? 1 : at.part];
      const int begin = at.first + 16 * (is_up ? tile - output_tiles / 2 : tile) + lane_index() / 4;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        // Outputs past the last one repeat it and are not written.
        const std::int64_t output = min(begin + 8 * half, part.outputs - 1);
        rows_[tile][half] = static_cast<const std::uint16_t*>(part.values) + output * args.inputs;
      }
    }
  }

  __device__ void load(int step, StepWeights<output_tiles>& to) const {
#pragma unroll
    for (int tile = 0; tile < output_tiles; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int span = 0; span < step_spans; ++span) {
          const int input = step * several_step + 32 * span + lane_index() % 4 * 8;
          to.of[tile][span][half] = input < inputs_ ? __ldcs(reinterpret_cast<const uint4*>(rows_[tile][half] + input))
                                                    : make_uint4(0, 0, 0, 0);
        }
      }
    }
  }

 private:
  const std::uint16_t* rows_[output_tiles][2];
  int inputs_;
};

template <bool is_half>
__device__ inline void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  if constexpr (is_half) {
    multiply_add_half(c, a, b0, b1);
  } else {
    multiply_add(c, a, b0, b1);
  }
}

// What a lane adds up: outputs g and g + 8 of each tile, rows 2 t and 2 t + 1 of each 8.
template <bool is_half, int output_tiles, int row_tiles>
struct LaneSums {
  __device__ void add(const StepWeights<output_tiles>& weights, const SeveralRows& args, int step) {
#pragma unroll
    for (int span = 0; span < step_spans; ++span) {
      const int input = step * several_step + 32 * span + lane_index() % 4 * 8;
      uint4 x[row_tiles];
#pragma unroll
      for (int n = 0; n < row_tiles; ++n) {
        const int row = min(8 * n + lane_index() / 4, args.rows - 1);
        const auto* from = static_cast<const std::uint16_t*>(args.x) + static_cast<std::int64_t>(row) * args.inputs;
        x[n] = input < args.inputs ? *reinterpret_cast<const uint4*>(from + input) : make_uint4(0, 0, 0, 0);
      }
#pragma unroll
      for (int tile = 0; tile < output_tiles; ++tile) {
        const uint4& low = weights.of[tile][span][0];
        const uint4& high = weights.of[tile][span][1];
        const std::uint32_t first[4] = {low.x, high.x, low.y, high.y};
        const std::uint32_t second[4] = {low.z, high.z, low.w, high.w};
#pragma unroll
        for (int n = 0; n < row_tiles; ++n) {
          multiply<is_half>(of[tile][n], first, x[n].x, x[n].y);
          multiply<is_half>(of[tile][n], second, x[n].z, x[n].w);
        }
      }
    }
  }

  float of[output_tiles][row_tiles][4] = {};
};

// Sums by row and output, in shared memory.
template <int output_tiles, int row_tiles>
struct BlockSums {
  static constexpr int outputs = 16 * output_tiles;
  static constexpr int rows = 8 * row_tiles;
  static constexpr int pitch = outputs + 4;  // rows that are written together lie in different banks

  template <bool is_half>
  __device__ void put(const LaneSums<is_half, output_tiles, row_tiles>& sums) {
#pragma unroll
    for (int tile = 0; tile < output_tiles; ++tile) {
#pragma unroll
      for (int n = 0; n < row_tiles; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          of_warps[warp_index()][8 * n + lane_index() % 4 * 2 + i % 2][16 * tile + lane_index() / 4 + i / 2 * 8] =
              sums.of[tile][n][i];
        }
      }
    }
  }

  // The warps' sums into the first warp's.
  __device__ void add_warps() {
    for (int index = static_cast<int>(threadIdx.x); index < rows * outputs; index += threads) {
      const int row = index / outputs;
      const int output = index % outputs;
      float sum = of_warps[0][row][output];
#pragma unroll
      for (int warp = 1; warp < warps; ++warp) sum += of_warps[warp][row][output];
      of_warps[0][row][output] = sum;
    }
  }

  float of_warps[warps][rows][pitch];
};

__device__ inline void write_rounded(const SeveralRows& args, std::int64_t at, float value) {
  if (args.rounds_to_half) {
    static_cast<__half*>(args.rounded)[at] = __float2half_rn(value);
  } else {
    static_cast<__nv_bfloat16*>(args.rounded)[at] = __float2bfloat16_rn(value);
  }
}

// This block's part of the cluster's outputs.
template <int output_tiles, int row_tiles>
__device__ void write_outputs(const SeveralRows& args, const Place& at, BlockSums<output_tiles, row_tiles>& shared,
                              const cg::cluster_group& cluster) {
  using Sums = BlockSums<output_tiles, row_tiles>;
  const int rows = args.exact ? args.rows / 2 : args.rows;
  const int all = args.gated ? Sums::outputs / 2 : Sums::outputs;
  const int own = all / args.shares;
  const FewRowsPart& part = args.parts[at.part];
  const auto total = [&](const FewRowsPart& of, int output, int in_block, int row) {
    float sum = 0;
    for (int rank = 0; rank < args.shares; ++rank) {
      const float* sums = cluster.map_shared_rank(&shared.of_warps[0][0][0], rank);
      sum += sums[row * Sums::pitch + in_block];
      if (args.exact) sum += sums[(row + rows) * Sums::pitch + in_block];
    }
    return of.bias != nullptr ? sum + of.bias[output] : sum;
  };
  for (int index = static_cast<int>(threadIdx.x); index < own * rows; index += threads) {
    const int in_block = at.rank * own + index % own;
    const int row = index / own;
    const int output = at.first + in_block;
    if (output >= part.outputs) continue;
    float value = total(part, output, in_block, row);
    if (args.gated) value = gated(value, total(args.parts[1], output, all + in_block, row));
    if (args.rounded != nullptr) {
      write_rounded(args, static_cast<std::int64_t>(row) * part.outputs + output, value);
    } else {
      float* y = part.y + row * part.y_stride + output;
      *y = args.accumulate ? *y + value : value;
    }
  }
}

template <bool is_half, int output_tiles, int row_tiles>
__global__ void __launch_bounds__(threads, output_tiles* row_tiles <= 8 ? 2 : 1)
    several_rows_kernel(const __grid_constant__ SeveralRows args) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(16) std::uint8_t shared_bytes[];
  auto& shared = *reinterpret_cast<BlockSums<output_tiles, row_tiles>*>(shared_bytes);
  const Place at(args, 16 * output_tiles);
  const WeightRows<output_tiles> rows(args, at);
  let_next_begin();
  // Weights are on their way a step before they are multiplied, the first ones while the kernel before this one ends.
  int step = at.begin + warp_index();
  StepWeights<output_tiles> weights;
  if (step < at.end) rows.load(step, weights);
  wait_for_previous();
  LaneSums<is_half, output_tiles, row_tiles> sums;
  for (; step < at.end; step += warps) {
    StepWeights<output_tiles> next;
    if (step + warps < at.end) rows.load(step + warps, next);
    sums.add(weights, args, step);
    weights = next;
  }
  shared.put(sums);
  __syncthreads();
  shared.add_warps();
  const cg::cluster_group cluster = cg::this_cluster();
  cluster.sync();
  write_outputs(args, at, shared, cluster);
  cluster.sync();  // nobody leaves while others read its sums
#endif
}

template <bool is_half, int output_tiles, int row_tiles>
void launch(const SeveralRows& args, cudaStream_t stream) {
  const auto kernel = several_rows_kernel<is_half, output_tiles, row_tiles>;
  constexpr auto bytes = static_cast<int>(sizeof(BlockSums<output_tiles, row_tiles>));
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "cudaFuncSetAttribute");
  const int blocks = several_tiles(args, 16 * output_tiles) * args.shares;
  launch_early("several_rows", kernel, LaunchShape{dim3(static_cast<unsigned>(blocks)), threads, bytes, args.shares},
               stream, args);
}

template <bool is_half>
void launch_for_rows(const SeveralRows& args, cudaStream_t stream) {
  static const int wide = std::getenv("PRECIS_M") ? std::atoi(std::getenv("PRECIS_M")) : 0;
  if (args.rows <= 8) return launch<is_half, 2, 1>(args, stream);
  if (args.rows <= 16) return launch<is_half, 2, 2>(args, stream);
  if (args.rows <= 32 && wide) return launch<is_half, 4, 4>(args, stream);
  if (args.rows <= 32) return launch<is_half, 2, 4>(args, stream);
  launch<is_half, 2, 8>(args, stream);
}

}  // namespace

void launch_several_rows(const SeveralRows& args, cudaStream_t stream) {
  if (args.is_half) {
    launch_for_rows<true>(args, stream);
  } else {
    launch_for_rows<false>(args, stream);
  }
}

}  // namespace precis::cuda
