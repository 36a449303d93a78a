// Products with several rows (5 to 64), where reading the weights is still what takes time, but too many multiply-adds
// for plain cores: tensor cores multiply 16 outputs and 8 rows at a time, and weights go from memory right to the
// registers that they want them in. A product's inner dimension may be permuted if both sides are: of every 32 inputs,
// lane 4 g + t has 8 t to 8 t + 7, 16 bytes as they lie, of outputs g and g + 8 and of row g of the rows' tiles.
//
// A block computes a few outputs of one matrix for all rows. Its warps take 64 inputs in turn, and their sums are added
// in one fixed order: a row's bits are the same beside any others.
#include <algorithm>

#include "backend/cuda/check.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/tensor_core.cuh"

namespace precis::cuda {
namespace {

constexpr int warps = 8;
constexpr int threads = warps * warp_lanes;
// Outputs and rows of a product of tensor cores.
constexpr int tile_outputs = 16;
constexpr int tile_rows = 8;
// Inputs that a warp takes at a time.
constexpr int step_inputs = 64;
constexpr int step_spans = step_inputs / 32;

__device__ inline uint4 load_or_zero(const std::uint16_t* from, bool wanted) {
  return wanted ? *reinterpret_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
}
__device__ inline uint4 stream_or_zero(const std::uint16_t* from, bool wanted) {
  return wanted ? __ldcs(reinterpret_cast<const uint4*>(from)) : make_uint4(0, 0, 0, 0);
}

// This lane's weights of 64 inputs: [tile of outputs][32 inputs][output g or g + 8].
template <int output_tiles>
struct StepWeights {
  uint4 of[output_tiles][step_spans][2];
};

// The outputs of a block: `output_tiles` tiles, of one matrix or (gated) half of them of the gate's and half of up's.
template <int output_tiles>
struct BlockOutputs {
  __device__ BlockOutputs(const SeveralRows& args, bool gated) {
    constexpr int outputs = output_tiles * tile_outputs;
    int block = static_cast<int>(blockIdx.x);
    part = 0;
    if (gated) {
      first = block * (outputs / 2);
    } else {
      while (part + 1 < args.count) {
        const int blocks = (args.parts[part].outputs + outputs - 1) / outputs;
        if (block < blocks) break;
        block -= blocks;
        ++part;
      }
      first = block * outputs;
    }
    const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
#pragma unroll
    for (int tile = 0; tile < output_tiles; ++tile) {
      const int other = gated && tile >= output_tiles / 2 ? 1 : 0;
      const FewRowsPart& of = args.parts[part + other];
      const int begin = first + (tile - other * (output_tiles / 2)) * tile_outputs + lane / 4;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        // Outputs past the last one repeat it and are not written.
        const std::int64_t output = min(begin + 8 * half, of.outputs - 1);
        rows[tile][half] = static_cast<const std::uint16_t*>(of.values) + output * args.inputs;
      }
    }
  }

  __device__ void load(int step, int inputs, StepWeights<output_tiles>& to) const {
#pragma unroll
    for (int span = 0; span < step_spans; ++span) {
      const int input = step * step_inputs + 32 * span + 8 * (static_cast<int>(threadIdx.x) % 4);
#pragma unroll
      for (int tile = 0; tile < output_tiles; ++tile) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          to.of[tile][span][half] = stream_or_zero(rows[tile][half] + input, input < inputs);
        }
      }
    }
  }

  int part;
  int first;  // output of the part
  const std::uint16_t* rows[output_tiles][2];
};

template <bool is_half>
__device__ inline void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  if constexpr (is_half) {
    multiply_add_half(c, a, b0, b1);
  } else {
    multiply_add(c, a, b0, b1);
  }
}

// What a lane adds up: outputs g and g + 8 of each tile, rows 2 t and 2 t + 1 of each.
template <bool is_half, int output_tiles, int row_tiles>
struct LaneSums {
  __device__ void add(const StepWeights<output_tiles>& weights, const SeveralRows& args, int step) {
    const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
#pragma unroll
    for (int span = 0; span < step_spans; ++span) {
      const int input = step * step_inputs + 32 * span + 8 * (lane % 4);
      uint4 x[row_tiles];
#pragma unroll
      for (int n = 0; n < row_tiles; ++n) {
        const int row = min(n * tile_rows + lane / 4, args.rows - 1);
        x[n] = load_or_zero(
            static_cast<const std::uint16_t*>(args.x) + static_cast<std::int64_t>(row) * args.inputs + input,
            input < args.inputs);
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

// The warps' sums of a block, by output and row.
template <int output_tiles, int row_tiles>
struct BlockSums {
  static constexpr int outputs = output_tiles * tile_outputs;
  static constexpr int rows = row_tiles * tile_rows;

  template <bool is_half>
  __device__ void put(const LaneSums<is_half, output_tiles, row_tiles>& sums) {
    const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
    const int warp = static_cast<int>(threadIdx.x) / warp_lanes;
#pragma unroll
    for (int tile = 0; tile < output_tiles; ++tile) {
#pragma unroll
      for (int n = 0; n < row_tiles; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int output = tile * tile_outputs + lane / 4 + i / 2 * 8;
          of[warp][n * tile_rows + lane % 4 * 2 + i % 2][output] = sums.of[tile][n][i];
        }
      }
    }
  }

  __device__ float total(int output, int row) const {
    float sum = of[0][row][output];
#pragma unroll
    for (int warp = 1; warp < warps; ++warp) sum += of[warp][row][output];
    return sum;
  }

  float of[warps][rows][outputs + 1];
};

__device__ inline float biased(const FewRowsPart& part, int output, float sum) {
  return part.bias != nullptr ? sum + part.bias[output] : sum;
}

__device__ inline void write_gated(const SeveralRows& args, const FewRowsPart& part, int row, int output, float value,
                                   float* y) {
  const std::int64_t at = static_cast<std::int64_t>(row) * part.outputs + output;
  if (args.rounded == nullptr) {
    *y = value;
  } else if (args.rounds_to_half) {
    static_cast<__half*>(args.rounded)[at] = __float2half_rn(value);
  } else {
    static_cast<__nv_bfloat16*>(args.rounded)[at] = __float2bfloat16_rn(value);
  }
}

template <int output_tiles, int row_tiles, bool gated>
__device__ void write_outputs(const SeveralRows& args, const BlockOutputs<output_tiles>& at,
                              const BlockSums<output_tiles, row_tiles>& sums) {
  constexpr int written = output_tiles * tile_outputs / (gated ? 2 : 1);
  const FewRowsPart& part = args.parts[at.part];
  for (int index = static_cast<int>(threadIdx.x); index < written * args.rows; index += threads) {
    const int in_block = index % written;
    const int row = index / written;
    const int output = at.first + in_block;
    if (output >= part.outputs) continue;
    const float sum = biased(part, output, sums.total(in_block, row));
    float* y = part.y + row * part.y_stride + output;
    if constexpr (gated) {
      const float up = biased(args.parts[1], output, sums.total(written + in_block, row));
      write_gated(args, part, row, output, precis::cuda::gated(sum, up), y);
    } else {
      *y = args.accumulate ? *y + sum : sum;
    }
  }
}

template <bool is_half, int output_tiles, int row_tiles, bool gated>
__global__ void __launch_bounds__(threads, row_tiles <= 4 ? 2 : 1)
    several_rows_kernel(const __grid_constant__ SeveralRows args) {
  extern __shared__ __align__(16) std::uint8_t shared_bytes[];
  auto& shared = *reinterpret_cast<BlockSums<output_tiles, row_tiles>*>(shared_bytes);
  const BlockOutputs<output_tiles> outputs(args, gated);
  const int steps = (args.inputs + step_inputs - 1) / step_inputs;
  int step = static_cast<int>(threadIdx.x) / warp_lanes;
  let_next_begin();
  // Weights are on their way some steps before they are multiplied, the first ones while the kernel before this one
  // ends.
  constexpr int ahead = output_tiles == 1 ? 2 : 1;
  StepWeights<output_tiles> weights[ahead + 1];
#pragma unroll
  for (int i = 0; i < ahead; ++i) outputs.load(step + i * warps, args.inputs, weights[i]);
  wait_for_previous();
  LaneSums<is_half, output_tiles, row_tiles> sums;
  for (; step < steps; step += warps) {
    outputs.load(step + ahead * warps, args.inputs, weights[ahead]);
    sums.add(weights[0], args, step);
#pragma unroll
    for (int i = 0; i < ahead; ++i) weights[i] = weights[i + 1];
  }
  shared.put(sums);
  __syncthreads();
  write_outputs<output_tiles, row_tiles, gated>(args, outputs, shared);
}

template <bool is_half, int output_tiles, int row_tiles, bool gated>
void launch(const SeveralRows& args, int blocks, cudaStream_t stream) {
  constexpr auto bytes = static_cast<int>(sizeof(BlockSums<output_tiles, row_tiles>));
  const auto kernel = several_rows_kernel<is_half, output_tiles, row_tiles, gated>;
  if constexpr (bytes > 48 << 10) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "cudaFuncSetAttribute");
  }
  launch_early_shared("several_rows", kernel, dim3(static_cast<unsigned>(blocks)), threads, bytes, stream, args);
}

template <bool is_half, int output_tiles, bool gated>
void launch_for_rows(const SeveralRows& args, cudaStream_t stream) {
  constexpr int outputs = output_tiles * tile_outputs / (gated ? 2 : 1);
  int blocks = 0;
  for (int part = 0; part < (gated ? 1 : args.count); ++part) blocks += blocks_for(args.parts[part].outputs, outputs);
  if (args.rows <= tile_rows) return launch<is_half, output_tiles, 1, gated>(args, blocks, stream);
  if (args.rows <= 2 * tile_rows) return launch<is_half, output_tiles, 2, gated>(args, blocks, stream);
  if (args.rows <= 4 * tile_rows) return launch<is_half, output_tiles, 4, gated>(args, blocks, stream);
  launch<is_half, output_tiles, 8, gated>(args, blocks, stream);
}

template <bool is_half>
void launch_plain(const SeveralRows& args, cudaStream_t stream) {
  // Many outputs a block read the rows less often; few make blocks enough.
  constexpr int enough_blocks = 160;
  int outputs = 0;
  for (int part = 0; part < args.count; ++part) outputs += args.parts[part].outputs;
  if (outputs >= 2 * tile_outputs * enough_blocks) {
    launch_for_rows<is_half, 2, false>(args, stream);
  } else {
    launch_for_rows<is_half, 1, false>(args, stream);
  }
}

}  // namespace

void launch_several_rows(const SeveralRows& args, cudaStream_t stream) {
  if (args.is_half) {
    launch_plain<true>(args, stream);
  } else {
    launch_plain<false>(args, stream);
  }
}

void launch_several_gated_rows(const SeveralRows& args, cudaStream_t stream) {
  if (args.is_half) {
    launch_for_rows<true, 2, true>(args, stream);
  } else {
    launch_for_rows<false, 2, true>(args, stream);
  }
}

}  // namespace precis::cuda
