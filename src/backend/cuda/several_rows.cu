// Products with several rows, where reading the weights is still what takes time, but too many multiply-adds for plain
// cores. A block computes 64 outputs for all rows: weights come to shared memory some steps before tensor cores
// multiply them, the first ones while the kernel before this one ends. Of each step's 128 inputs, half of the warps
// have the first 64 and half of them the others, and each warp has 16 outputs.
//
// Matrices of few outputs are shared by several blocks, each with a part of the inputs; the last one of them to end
// adds up their sums in order. How inputs are shared depends on the matrices alone, and so do all sums' orders: a row's
// bits are the same beside any others.
//
// Up to 4 rows are as exact as floats: they are there twice, rounded to bf16 and what rounding left over. Where they
// are to be normed, they are multiplied by the norm's weights on their way, and divided by the root in the end.
#include "backend/cuda/several_rows.h"

#include "backend/cuda/check.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/tensor_core.cuh"

namespace precis::cuda {
namespace {

constexpr int warps = 8;
constexpr int threads = warps * warp_lanes;
// Warps that share the outputs; the others have the other inputs.
constexpr int output_warps = several_outputs / 16;
constexpr int parts = warps / output_warps;
// 16 bytes: 8 inputs.
constexpr int step_chunks = several_step / 8;
constexpr int products_a_part = several_step / 16 / parts;

__device__ inline int lane_index() {
  return static_cast<int>(threadIdx.x) % warp_lanes;
}
__device__ inline int warp_index() {
  return static_cast<int>(threadIdx.x) / warp_lanes;
}

// Rows of chunks of which 8 neighbours, read at the same place, lie in different banks.
struct SwizzledRows {
  __device__ uint4* at(int row, int chunk) const { return rows + row * pitch + (chunk ^ (row & 7)); }

  uint4* rows;
  int pitch;  // chunks
};

// A block's place: its outputs, and the steps of inputs that it has.
struct Place {
  __device__ explicit Place(const SeveralRows& args)
      : tile(static_cast<int>(blockIdx.x) / args.shares),
        rank(static_cast<int>(blockIdx.x) % args.shares),
        begin(rank * args.share_steps),
        steps(max(min(args.share_steps, (args.inputs + several_step - 1) / several_step - begin), 0)) {
    int in_part = tile;
    part = 0;
    while (!args.gated && part + 1 < args.count) {
      const int tiles = (args.parts[part].outputs + several_outputs - 1) / several_outputs;
      if (in_part < tiles) break;
      in_part -= tiles;
      ++part;
    }
    first = in_part * (args.gated ? several_outputs / 2 : several_outputs);
  }

  int tile;
  int rank;
  int begin;  // the first step
  int steps;
  int part;
  int first;  // output of the part
};

// Begins to load a step's weights. Gated: the first half of the rows are the gate's, the second half up's.
__device__ inline void load_weights(const SeveralRows& args, const Place& at, int step, const SwizzledRows& to) {
#pragma unroll
  for (int i = 0; i < several_outputs * step_chunks / threads; ++i) {
    const int index = static_cast<int>(threadIdx.x) + i * threads;
    const int row = index / step_chunks;
    const int chunk = index % step_chunks;
    const bool is_up = args.gated && row >= several_outputs / 2;
    const FewRowsPart& part = args.parts[is_up ? 1 : at.part];
    // Outputs past the last one repeat it and are not written.
    const std::int64_t output = min(at.first + row - (is_up ? several_outputs / 2 : 0), part.outputs - 1);
    const int input = (at.begin + step) * several_step + 8 * chunk;
    const auto* from = static_cast<const std::uint16_t*>(part.values) + output * args.inputs;
    const bool exists = input < args.inputs;
    copy_async(to.at(row, chunk), from + (exists ? input : 0), exists);
  }
}

// Begins to load a step of rounded rows; those past the last one are zeros.
template <int row_tiles>
__device__ void load_rounded(const SeveralRows& args, const Place& at, int step, const SwizzledRows& to) {
  for (int index = static_cast<int>(threadIdx.x); index < 8 * row_tiles * step_chunks; index += threads) {
    const int row = index / step_chunks;
    const int chunk = index % step_chunks;
    const int input = (at.begin + step) * several_step + 8 * chunk;
    const bool exists = row < args.rows && input < args.inputs;
    const auto* from = static_cast<const std::uint16_t*>(args.x) + static_cast<std::int64_t>(row) * args.inputs;
    copy_async(to.at(row, chunk), exists ? from + input : static_cast<const std::uint16_t*>(args.x), exists);
  }
}

// All of the block's inputs of exact rows: rounded, and behind all of them what rounding left over. `roots`: of each
// row, by which its sums are to be divided; written by all threads together.
__device__ inline void load_exact(const SeveralRows& args, const Place& at, const SwizzledRows& to, float* roots) {
  __shared__ float squares[several_exact_rows][warps];
  const int begin = at.begin * several_step;
  const int end = begin + at.steps * several_step;
  // The norm wants the squares of all inputs.
  const int from = args.norm != nullptr ? 0 : begin;
  const int until = args.norm != nullptr ? max(end, args.inputs) : end;
  for (int row = 0; row < args.rows; ++row) {
    float sum = 0;
    for (int input = from + 4 * static_cast<int>(threadIdx.x); input < until; input += 4 * threads) {
      float4 x = make_float4(0, 0, 0, 0);
      if (input < args.inputs) x = *reinterpret_cast<const float4*>(args.exact_x + row * args.exact_stride + input);
      sum = fmaf(x.x, x.x, fmaf(x.y, x.y, fmaf(x.z, x.z, fmaf(x.w, x.w, sum))));
      if (input < begin || input >= end) continue;
      if (args.norm != nullptr && input < args.inputs) {
        const float4 weight = *reinterpret_cast<const float4*>(args.norm + input);
        x = make_float4(x.x * weight.x, x.y * weight.y, x.z * weight.z, x.w * weight.w);
      }
      const uint2 rounded = make_uint2(pair_of(x.x, x.y), pair_of(x.z, x.w));
      const uint2 rest = make_uint2(pair_of(x.x - first_bf16(rounded.x), x.y - second_bf16(rounded.x)),
                                    pair_of(x.z - first_bf16(rounded.y), x.w - second_bf16(rounded.y)));
      const int chunk = (input - begin) / 8;
      const int half = (input - begin) / 4 % 2;
      reinterpret_cast<uint2*>(to.at(row, chunk))[half] = rounded;
      reinterpret_cast<uint2*>(to.at(row + args.rows, chunk))[half] = rest;
    }
    sum = lane_sum(sum);
    if (lane_index() == 0) squares[row][warp_index()] = sum;
  }
  __syncthreads();
  if (static_cast<int>(threadIdx.x) >= args.rows) return;
  float sum = 0;
  for (const float of_warp : squares[threadIdx.x]) sum += of_warp;
  roots[threadIdx.x] = args.norm == nullptr ? 1 : sqrtf(sum / static_cast<float>(args.inputs) + args.epsilon);
}

template <bool is_half>
__device__ inline void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  if constexpr (is_half) {
    multiply_add_half(c, a, b0, b1);
  } else {
    multiply_add(c, a, b0, b1);
  }
}

// What a lane adds up: outputs g and g + 8 of its warp's, rows 2 t and 2 t + 1 of each 8, where it is lane 4 g + t.
template <bool is_half, int row_tiles>
struct LaneSums {
  // `x_chunk`: where the step begins in the rows, of which there are `rows`; others count for nothing.
  __device__ void add(const SwizzledRows& weights, const SwizzledRows& x, int rows, int x_chunk) {
    const int output = warp_index() % output_warps * 16 + lane_index() % 16;
    const int first = warp_index() / output_warps * products_a_part * 2;  // chunk of the step
#pragma unroll
    for (int product = 0; product < products_a_part; ++product) {
      const int chunk = first + 2 * product;
      std::uint32_t a[4];
      load_matrices(a, weights.at(output, chunk + lane_index() / 16));
#pragma unroll
      for (int n = 0; n < row_tiles; n += 2) {
        // Two tiles of rows; of a single one, the second half is not used.
        const int row = min(8 * (n + lane_index() / 16) + lane_index() % 8, rows - 1);
        std::uint32_t b[4];
        load_matrices(b, x.at(row, x_chunk + chunk + lane_index() / 8 % 2));
        multiply<is_half>(of[n], a, b[0], b[1]);
        if constexpr (row_tiles > 1) multiply<is_half>(of[n + 1], a, b[2], b[3]);
      }
    }
  }

  float of[row_tiles][4] = {};
};

// Sums by row and output, in shared memory.
template <int row_tiles>
struct BlockSums {
  template <bool is_half>
  __device__ void put(const LaneSums<is_half, row_tiles>& sums) {
    const int output = warp_index() % output_warps * 16 + lane_index() / 4;
#pragma unroll
    for (int n = 0; n < row_tiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        of[warp_index() / output_warps][8 * n + lane_index() % 4 * 2 + i % 2][output + i / 2 * 8] = sums.of[n][i];
      }
    }
  }

  // Of all warps, into the first part.
  __device__ void add_parts(int rows, bool exact) {
    for (int index = static_cast<int>(threadIdx.x); index < rows * several_outputs; index += threads) {
      const int row = index / several_outputs;
      const int output = index % several_outputs;
      float sum = of[0][row][output] + of[1][row][output];
      if (exact) sum += of[0][row + rows][output] + of[1][row + rows][output];
      of[0][row][output] = sum;
    }
  }

  // Of all blocks of the tile, into the first part of the last one to end; false for the others.
  __device__ bool add_blocks(const SeveralRows& args, const Place& at) {
    __shared__ bool is_last;
    const int count = args.rows * several_outputs;
    float* all = args.partials + static_cast<std::int64_t>(at.tile) * args.shares * count;
    for (int index = 4 * static_cast<int>(threadIdx.x); index < count; index += 4 * threads) {
      *reinterpret_cast<float4*>(all + at.rank * count + index) = four(index);
    }
    __syncthreads();
    if (threadIdx.x == 0) is_last = count_block(args.counters + at.tile, args.shares);
    __syncthreads();
    if (!is_last) return false;
    for (int index = 4 * static_cast<int>(threadIdx.x); index < count; index += 4 * threads) {
      float4 shares[most_shares];  // all on their way at once
#pragma unroll
      for (int rank = 0; rank < most_shares; ++rank) {
        shares[rank] = rank < args.shares ? __ldcg(reinterpret_cast<const float4*>(all + rank * count + index))
                                          : make_float4(0, 0, 0, 0);
      }
      float4 sum = shares[0];
#pragma unroll
      for (int rank = 1; rank < most_shares; ++rank) {
        const float4& share = shares[rank];
        sum = make_float4(sum.x + share.x, sum.y + share.y, sum.z + share.z, sum.w + share.w);
      }
      four(index) = sum;
    }
    return true;
  }

  // Four of the first part's, by their index row by row.
  __device__ float4& four(int index) {
    return *reinterpret_cast<float4*>(&of[0][index / several_outputs][index % several_outputs]);
  }

  float of[parts][8 * row_tiles][several_outputs + 4];  // rows that are written together lie in different banks
};
static_assert(parts == 2);

__device__ inline void write_rounded(const SeveralRows& args, std::int64_t at, float value) {
  if (args.rounds_to_half) {
    static_cast<__half*>(args.rounded)[at] = __float2half_rn(value);
  } else {
    static_cast<__nv_bfloat16*>(args.rounded)[at] = __float2bfloat16_rn(value);
  }
}

template <int row_tiles>
__device__ void write_outputs(const SeveralRows& args, const Place& at, const BlockSums<row_tiles>& sums,
                              const float* roots) {
  const int own = args.gated ? several_outputs / 2 : several_outputs;
  const FewRowsPart& part = args.parts[at.part];
  const auto product = [&](const FewRowsPart& of, int output, int in_block, int row) {
    float sum = sums.of[0][row][in_block];
    if (args.norm != nullptr) sum /= roots[row];
    return of.bias != nullptr ? sum + of.bias[output] : sum;
  };
  constexpr int each = 8 * row_tiles * several_outputs / threads;
  const auto output_of = [&](int i) { return at.first + (static_cast<int>(threadIdx.x) + i * threads) % own; };
  const auto row_of = [&](int i) { return (static_cast<int>(threadIdx.x) + i * threads) / own; };
  const auto exists = [&](int i) { return row_of(i) < args.rows && output_of(i) < part.outputs; };
  const auto y_of = [&](int i) { return part.y + row_of(i) * part.y_stride + output_of(i); };
  float before[each];  // all on their way at once
#pragma unroll
  for (int i = 0; i < each; ++i) before[i] = args.accumulate && exists(i) ? *y_of(i) : 0;
#pragma unroll
  for (int i = 0; i < each; ++i) {
    if (!exists(i)) continue;
    const int output = output_of(i);
    const int in_block = output - at.first;
    float value = product(part, output, in_block, row_of(i));
    if (args.gated) value = gated(value, product(args.parts[1], output, own + in_block, row_of(i)));
    if (args.rounded != nullptr) {
      write_rounded(args, static_cast<std::int64_t>(row_of(i)) * part.outputs + output, value);
    } else {
      *y_of(i) = before[i] + value;
    }
  }
}

// Steps in shared memory: enough in flight, and room for several blocks a processor.
template <int row_tiles, bool exact>
constexpr int stages = exact            ? 4
                       : row_tiles == 1 ? 4
                                        : 3;
constexpr int weight_chunks = several_outputs * step_chunks;
template <int row_tiles, bool exact>
constexpr int stage_chunks = weight_chunks + (exact ? 0 : 8 * row_tiles * step_chunks);

template <bool is_half, int row_tiles, bool exact>
__global__ void __launch_bounds__(threads, row_tiles <= 4 ? 3 : 2)
    several_rows_kernel(const __grid_constant__ SeveralRows args) {
  constexpr int depth = stages<row_tiles, exact>;
  extern __shared__ __align__(128) uint4 memory[];
  __shared__ float roots[several_exact_rows];
  const Place at(args);
  const auto weights_of = [&](int step) {
    return SwizzledRows{memory + step % depth * stage_chunks<row_tiles, exact>, step_chunks};
  };
  const auto x_of = [&](int step) {
    if constexpr (exact) return SwizzledRows{memory + depth * weight_chunks, args.share_steps * step_chunks};
    return SwizzledRows{weights_of(step).rows + weight_chunks, step_chunks};
  };
  let_next_begin();
#pragma unroll
  for (int step = 0; step < depth - 1; ++step) {
    if (step < at.steps) load_weights(args, at, step, weights_of(step));
    if constexpr (exact) commit_copies();
  }
  wait_for_previous();
  if constexpr (exact) {
    load_exact(args, at, x_of(0), roots);
  } else {
#pragma unroll
    for (int step = 0; step < depth - 1; ++step) {
      if (step < at.steps) load_rounded<row_tiles>(args, at, step, x_of(step));
      commit_copies();
    }
  }
  LaneSums<is_half, row_tiles> sums;
  for (int step = 0; step < at.steps; ++step) {
    wait_for_copies<depth - 2>();
    __syncthreads();  // all copies of the step are there, and nobody reads the step before any more
    const int next = step + depth - 1;
    if (next < at.steps) {
      load_weights(args, at, next, weights_of(next));
      if constexpr (!exact) load_rounded<row_tiles>(args, at, next, x_of(next));
    }
    commit_copies();
    sums.add(weights_of(step), x_of(step), exact ? 2 * args.rows : 8 * row_tiles, exact ? step * step_chunks : 0);
  }
  wait_for_copies<0>();
  __syncthreads();
  auto& shared = *reinterpret_cast<BlockSums<row_tiles>*>(memory);  // in the steps' place
  shared.put(sums);
  __syncthreads();
  shared.add_parts(args.rows, exact);
  __syncthreads();
  if (args.shares > 1) {
    if (!shared.add_blocks(args, at)) return;
    __syncthreads();
  }
  write_outputs(args, at, shared, roots);
}

template <bool is_half, int row_tiles, bool exact>
void launch(const SeveralRows& args, cudaStream_t stream) {
  const auto kernel = several_rows_kernel<is_half, row_tiles, exact>;
  int chunks = stages<row_tiles, exact> * stage_chunks<row_tiles, exact>;
  if (exact) chunks += 2 * args.rows * args.share_steps * step_chunks;
  static_assert(sizeof(BlockSums<row_tiles>) <= 16 * stages<row_tiles, exact> * stage_chunks<row_tiles, exact>);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 16 * chunks), "cudaFuncSetAttribute");
  const auto blocks = static_cast<unsigned>(several_tiles(args) * args.shares);
  launch_early("several_rows", kernel, LaunchShape{dim3(blocks), threads, 16 * chunks}, stream, args);
}

template <bool is_half>
void launch_rounded(const SeveralRows& args, cudaStream_t stream) {
  if (args.rows <= 8) return launch<is_half, 1, false>(args, stream);
  if (args.rows <= 16) return launch<is_half, 2, false>(args, stream);
  if (args.rows <= 32) return launch<is_half, 4, false>(args, stream);
  launch<is_half, 8, false>(args, stream);
}

}  // namespace

void launch_several_rows(const SeveralRows& args, cudaStream_t stream) {
  if (args.exact_x != nullptr) {
    launch<false, 1, true>(args, stream);
  } else if (args.is_half) {
    launch_rounded<true>(args, stream);
  } else {
    launch_rounded<false>(args, stream);
  }
}

}  // namespace precis::cuda
