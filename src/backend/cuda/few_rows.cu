// Products with few rows: what takes time is reading the weights, once for every 8 rows, 16 bytes a thread.
//
// A block computes a few outputs of one matrix. Its threads share the inputs chunk by chunk; each sums what it has in
// order, and their sums are added in one fixed order. Neither depends on the number of rows or outputs in the block, so
// a row's bits are the same alone and beside others.
//
// Rows that are to be normed are multiplied by the norm's weights on their way, and their squares are summed beside the
// products, which are divided by the root in the end: so nobody reads the rows twice.
#include <algorithm>
#include <type_traits>

#include "backend/cuda/check.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/kv_address.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/numbers.cuh"
#include "backend/cuda/weights.cuh"

namespace precis::cuda {
namespace {

constexpr int threads = 128;
constexpr int warps = threads / warp_lanes;

struct Position {
  int part;
  int first_output;
};

// The outputs of this block: blocks go through the parts one after the other.
template <int outputs, bool gated>
__device__ Position position_of(const FewRows& args) {
  if constexpr (gated) return {0, static_cast<int>(blockIdx.x) * (outputs / 2)};
  int block = static_cast<int>(blockIdx.x);
  int part = 0;
  while (part + 1 < args.count) {
    const int blocks = (args.parts[part].outputs + outputs - 1) / outputs;
    if (block < blocks) break;
    block -= blocks;
    ++part;
  }
  return {part, block * outputs};
}

__device__ inline void write_output(const FewRows& args, const FewRowsPart& part, int row, int output, float sum) {
  float& y = part.y[row * part.y_stride + output];
  if (part.bias != nullptr) sum += part.bias[output];
  y = args.accumulate ? y + sum : sum;
}

// Writes to y. Kernels whose outputs go elsewhere have another one.
struct OutputRows {
  // Rows of a part that lie elsewhere than others.
  __device__ const float* rows_of(const FewRows& args, int) const { return args.x; }
  __device__ void write(const FewRows& args, int part, int row, int output, float sum) const {
    write_output(args, args.parts[part], row, output, sum);
  }
};

// See ShortRows.
struct ShortOutputs {
  __device__ const float* rows_of(const FewRows& args, int part) const { return part == 0 ? args.x : of.queries; }
  __device__ void write(const FewRows& args, int part, int row, int output, float sum) const {
    if (part != 0) return write_output(args, args.parts[part], row, output, sum);
    const std::int64_t slot = of.slots[row];
    if (slot < 0) return;
    const std::int64_t page = slot / of.kv.page_entries;
    const auto in_page = static_cast<int>(slot - page * of.kv.page_entries);
    if (of.kv.type == DType::f32) {
      short_key<float>(of.kv, page, in_page)[output] = sum;
    } else {
      short_key<__nv_bfloat16>(of.kv, page, in_page)[output] = __float2bfloat16_rn(sum);
    }
  }

  ShortRows of;
};

// `width` inputs, whose first is at a multiple of `width`.
template <int width>
__device__ inline void load_inputs(const float* x, bool aligned, float (&to)[width]) {
  if (!aligned) {
#pragma unroll
    for (int i = 0; i < width; ++i) to[i] = x[i];
  } else if constexpr (width == 2) {
    const float2 pair = *reinterpret_cast<const float2*>(x);
    to[0] = pair.x;
    to[1] = pair.y;
  } else {
#pragma unroll
    for (int i = 0; i < width; i += 4) {
      const float4 quad = *reinterpret_cast<const float4*>(x + i);
      to[i] = quad.x;
      to[i + 1] = quad.y;
      to[i + 2] = quad.z;
      to[i + 3] = quad.w;
    }
  }
}

// What a thread adds up for `outputs` x `rows` products.
template <int outputs, int rows>
struct Sums {
  float products[outputs][rows] = {};
  float squares[rows] = {};  // of rows that are normed
};

// The warps' sums of a block: products, and behind them the squares.
template <int outputs, int rows>
struct BlockSums {
  __device__ float total(int index) const {
    float sum = of[0][index];
#pragma unroll
    for (int warp = 1; warp < warps; ++warp) sum += of[warp][index];
    return sum;
  }
  // The product of an output and a row, as it is after the norm.
  __device__ float product(const FewRows& args, int output, int row) const {
    const float sum = total(output * rows + row);
    if (args.norm == nullptr) return sum;
    return sum / sqrtf(total(outputs * rows + row) / static_cast<float>(args.inputs) + args.epsilon);
  }

  float of[warps][outputs * rows + rows];
};

// Sums of all threads, written by the first threads. Gated: the first half of the outputs are the gate's, the second
// half up's.
template <int outputs, int rows, bool gates, typename Output>
__device__ inline void finish(const FewRows& args, const Output& to, const Position& at, int first_row,
                              const Sums<outputs, rows>& sums) {
  __shared__ BlockSums<outputs, rows> shared;
  const int warp = static_cast<int>(threadIdx.x) / warp_lanes;
  const bool writes = threadIdx.x % warp_lanes == 0;
#pragma unroll
  for (int r = 0; r < rows; ++r) {
#pragma unroll
    for (int o = 0; o < outputs; ++o) {
      const float sum = lane_sum(sums.products[o][r]);
      if (writes) shared.of[warp][o * rows + r] = sum;
    }
    if (args.norm != nullptr) {
      const float sum = lane_sum(sums.squares[r]);
      if (writes) shared.of[warp][outputs * rows + r] = sum;
    }
  }
  __syncthreads();
  constexpr int written = gates ? outputs / 2 : outputs;
  if (threadIdx.x >= written * rows) return;
  const int in_row = static_cast<int>(threadIdx.x) % rows;
  const int in_output = static_cast<int>(threadIdx.x) / rows;
  const int row = first_row + in_row;
  const int output = at.first_output + in_output;
  const FewRowsPart& part = args.parts[at.part];
  if (row >= args.rows || output >= part.outputs) return;
  const float product = shared.product(args, in_output, in_row);
  if constexpr (gates) {
    const FewRowsPart& up = args.parts[1];
    const float gate = product + (part.bias != nullptr ? part.bias[output] : 0);
    const float other = shared.product(args, written + in_output, in_row) + (up.bias != nullptr ? up.bias[output] : 0);
    part.y[row * part.y_stride + output] = gated(gate, other);
  } else {
    to.write(args, at.part, row, output, product);
  }
}

// The inputs of a row as the weights meet them.
template <int width>
__device__ inline void norm_inputs(const float (&norm)[width], float (&inputs)[width], float& squares) {
#pragma unroll
  for (int i = 0; i < width; ++i) {
    squares = fmaf(inputs[i], inputs[i], squares);
    inputs[i] *= norm[i];
  }
}

// The chunks of several outputs at the same inputs.
template <typename Part, int outputs>
struct Chunks;

template <typename Part>
struct Chunks<Part, 2> {
  template <typename Make>
  __device__ Chunks(const Make& make, int index) : of{make(0, index), make(1, index)} {}
  const Part of[2];
};

template <typename Part>
struct Chunks<Part, 4> {
  template <typename Make>
  __device__ Chunks(const Make& make, int index) : of{make(0, index), make(1, index), make(2, index), make(3, index)} {}
  const Part of[4];
};

template <int outputs, int rows, typename Part>
__device__ inline void add_chunks(const Chunks<Part, outputs>& chunks, const float* const (&x)[rows], const float* norm,
                                  bool aligned, Sums<outputs, rows>& sums) {
#pragma unroll
  for (int run = 0; run < Part::runs; ++run) {
    float w[outputs][Part::width];
#pragma unroll
    for (int o = 0; o < outputs; ++o) chunks.of[o].read(run, w[o]);
    float norms[Part::width] = {};
    if (norm != nullptr) load_inputs(norm + chunks.of[0].at(run), aligned, norms);
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      float inputs[Part::width];
      load_inputs(x[r] + chunks.of[0].at(run), aligned, inputs);
      if (norm != nullptr) norm_inputs(norms, inputs, sums.squares[r]);
#pragma unroll
      for (int o = 0; o < outputs; ++o) {
#pragma unroll
        for (int i = 0; i < Part::width; ++i) {
          sums.products[o][r] = fmaf(w[o][i], inputs[i], sums.products[o][r]);
        }
      }
    }
  }
}

// Rows and outputs past the last ones repeat these and are not written.
template <WeightFormat format, int outputs, int rows, bool gates, typename Output>
__global__ void __launch_bounds__(threads)
    few_rows_kernel(const __grid_constant__ FewRows args, const __grid_constant__ Output to, bool aligned,
                    std::int64_t row_bytes, std::int64_t row_scales) {
  using Part = Chunk<format>;
  const Position at = position_of<outputs, gates>(args);
  const int first_row = static_cast<int>(blockIdx.y) * rows;
  const float* x[rows];
#pragma unroll
  for (int r = 0; r < rows; ++r) x[r] = to.rows_of(args, at.part) + min(first_row + r, args.rows - 1) * args.x_stride;
  Sums<outputs, rows> sums;
  const auto chunk_of = [&](int o, int index) {
    constexpr int each = gates ? outputs / 2 : outputs;
    const FewRowsPart& part = args.parts[at.part + o / each];
    const std::int64_t output = min(at.first_output + o % each, part.outputs - 1);
    return Part(static_cast<const std::uint8_t*>(part.values) + output * row_bytes,
                static_cast<const std::uint16_t*>(part.scales) + output * row_scales, args.inputs, index);
  };
  let_next_begin();
  const int chunks = args.inputs / Part::inputs;
  int index = threadIdx.x;
  if (index < chunks) {
    const Chunks<Part, outputs> first(chunk_of, index);  // on its way while the kernel before this one ends
    wait_for_previous();
    add_chunks<outputs, rows>(first, x, args.norm, aligned, sums);
  } else {
    wait_for_previous();
  }
  for (index += threads; index < chunks; index += threads) {
    add_chunks<outputs, rows>(Chunks<Part, outputs>(chunk_of, index), x, args.norm, aligned, sums);
  }
  finish<outputs, rows, gates>(args, to, at, first_row, sums);
}

// Plain rows whose length is no multiple of a chunk, one weight at a time.
template <WeightFormat format, int rows>
__global__ void __launch_bounds__(threads)
    odd_rows_kernel(const __grid_constant__ FewRows args, std::int64_t row_bytes) {
  const Position at = position_of<1, false>(args);
  const int first_row = static_cast<int>(blockIdx.y) * rows;
  const std::uint8_t* values =
      static_cast<const std::uint8_t*>(args.parts[at.part].values) + at.first_output * row_bytes;
  Sums<1, rows> sums;
  let_next_begin();
  wait_for_previous();
  for (int i = threadIdx.x; i < args.inputs; i += threads) {
    const float w = plain_weight<format>(values, i);
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      float input[1] = {args.x[min(first_row + r, args.rows - 1) * args.x_stride + i]};
      if (args.norm != nullptr) norm_inputs<1>({args.norm[i]}, input, sums.squares[r]);
      sums.products[0][r] = fmaf(w, input[0], sums.products[0][r]);
    }
  }
  finish<1, rows, false>(args, OutputRows{}, at, first_row, sums);
}

int blocks_of(const FewRows& args, int outputs) {
  int blocks = 0;
  for (int part = 0; part < args.count; ++part) blocks += blocks_for(args.parts[part].outputs, outputs);
  return blocks;
}

template <WeightFormat format, int rows, bool gates, typename Output = OutputRows>
void launch(const FewRows& args, cudaStream_t stream, const Output& to = {}) {
  // So many outputs that the inputs' loads are shared, so few that all weights stay in registers.
  constexpr int outputs = is_plain<format> ? 4 : 2;
  const int blocks = gates ? blocks_for(args.parts[0].outputs, outputs / 2) : blocks_of(args, outputs);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(blocks_for(args.rows, rows)));
  const auto is_aligned = [](const float* at) { return reinterpret_cast<std::uintptr_t>(at) % 16 == 0; };
  bool aligned = is_aligned(args.x) && is_aligned(args.norm) && args.x_stride % 4 == 0;
  if constexpr (std::is_same_v<Output, ShortOutputs>) aligned = aligned && is_aligned(to.of.queries);
  launch_early("few_rows", few_rows_kernel<format, outputs, rows, gates, Output>, grid, threads, stream, args, to,
               aligned, value_row_bytes(format, args.inputs), scale_row_bytes(format, args.inputs) / 2);
}

template <WeightFormat format>
void launch_odd(const FewRows& args, cudaStream_t stream) {
  if constexpr (is_plain<format>) {
    const dim3 grid(static_cast<unsigned>(blocks_of(args, 1)),
                    static_cast<unsigned>(blocks_for(args.rows, few_rows_block)));
    launch_early("odd_rows", odd_rows_kernel<format, few_rows_block>, grid, threads, stream, args,
                 value_row_bytes(format, args.inputs));
  }
}

template <WeightFormat format, bool gates>
void launch_for_rows(const FewRows& args, cudaStream_t stream) {
  if (args.rows == 1) return launch<format, 1, gates>(args, stream);
  if (args.rows == 2) return launch<format, 2, gates>(args, stream);
  if (args.rows <= 4) return launch<format, 4, gates>(args, stream);
  launch<format, few_rows_block, gates>(args, stream);
}

}  // namespace

void launch_few_rows(const FewRows& args, cudaStream_t stream) {
  if (args.rows == 0 || blocks_of(args, 1) == 0) return;
  for_format(args.format, [&](auto constant) {
    constexpr WeightFormat format = decltype(constant)::value;
    if (!has_chunks(format, args.inputs)) return launch_odd<format>(args, stream);
    launch_for_rows<format, false>(args, stream);
  });
}

void launch_short_rows(const FewRows& args, const ShortRows& shorts, cudaStream_t stream) {
  if (args.rows == 0) return;
  const auto launch_rows = [&](auto rows) {
    launch<WeightFormat::f32, decltype(rows)::value, false>(args, stream, ShortOutputs{shorts});
  };
  if (args.rows == 1) return launch_rows(std::integral_constant<int, 1>());
  if (args.rows == 2) return launch_rows(std::integral_constant<int, 2>());
  launch_rows(std::integral_constant<int, 4>());
}

void launch_few_gated_rows(const FewRows& args, cudaStream_t stream) {
  if (args.rows == 0 || args.parts[0].outputs == 0) return;
  for_format(args.format, [&](auto format) { launch_for_rows<decltype(format)::value, true>(args, stream); });
}

}  // namespace precis::cuda
