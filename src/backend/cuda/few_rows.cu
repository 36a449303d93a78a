// Products with few rows: what takes time is reading the weights, once for every 8 rows, 16 bytes a thread.
//
// A block computes a few outputs of one matrix. Its threads share the inputs chunk by chunk; each sums what it has in
// order, and their sums are added in one fixed order. Neither depends on the number of rows or outputs in the block, so
// a row's bits are the same alone and beside others.
#include <algorithm>

#include "backend/cuda/check.h"
#include "backend/cuda/kernels.h"
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
template <int outputs>
__device__ Position position_of(const FewRows& args) {
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

// Sums of all threads for `outputs` x `rows` products, written by the first threads.
template <int outputs, int rows>
__device__ inline void finish(const FewRows& args, const Position& at, int first_row,
                              const float (&sums)[outputs][rows]) {
  __shared__ float shared[warps][outputs * rows];
#pragma unroll
  for (int o = 0; o < outputs; ++o) {
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      const float sum = lane_sum(sums[o][r]);
      if (threadIdx.x % warp_lanes == 0) shared[threadIdx.x / warp_lanes][o * rows + r] = sum;
    }
  }
  __syncthreads();
  if (threadIdx.x >= outputs * rows) return;
  const int row = first_row + static_cast<int>(threadIdx.x) % rows;
  const int output = at.first_output + static_cast<int>(threadIdx.x) / rows;
  const FewRowsPart& part = args.parts[at.part];
  if (row >= args.rows || output >= part.outputs) return;
  float sum = shared[0][threadIdx.x];
#pragma unroll
  for (int warp = 1; warp < warps; ++warp) sum += shared[warp][threadIdx.x];
  write_output(args, part, row, output, sum);
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
__device__ inline void add_chunks(const Chunks<Part, outputs>& chunks, const float* const (&x)[rows], bool aligned,
                                  float (&sums)[outputs][rows]) {
#pragma unroll
  for (int run = 0; run < Part::runs; ++run) {
    float w[outputs][Part::width];
#pragma unroll
    for (int o = 0; o < outputs; ++o) chunks.of[o].read(run, w[o]);
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      float inputs[Part::width];
      load_inputs(x[r] + chunks.of[0].at(run), aligned, inputs);
#pragma unroll
      for (int o = 0; o < outputs; ++o) {
#pragma unroll
        for (int i = 0; i < Part::width; ++i) sums[o][r] = fmaf(w[o][i], inputs[i], sums[o][r]);
      }
    }
  }
}

// Rows and outputs past the last ones repeat these and are not written.
template <WeightFormat format, int outputs, int rows>
__global__ void __launch_bounds__(threads) few_rows_kernel(const __grid_constant__ FewRows args, bool aligned,
                                                           std::int64_t row_bytes, std::int64_t row_scales) {
  using Part = Chunk<format>;
  const Position at = position_of<outputs>(args);
  const FewRowsPart& part = args.parts[at.part];
  const int first_row = static_cast<int>(blockIdx.y) * rows;
  const float* x[rows];
#pragma unroll
  for (int r = 0; r < rows; ++r) x[r] = args.x + min(first_row + r, args.rows - 1) * args.x_stride;
  float sums[outputs][rows] = {};
  const auto chunk_of = [&](int o, int index) {
    const std::int64_t output = min(at.first_output + o, part.outputs - 1);
    return Part(static_cast<const std::uint8_t*>(part.values) + output * row_bytes,
                static_cast<const std::uint16_t*>(part.scales) + output * row_scales, args.inputs, index);
  };
  for (int index = threadIdx.x; index < args.inputs / Part::inputs; index += threads) {
    add_chunks<outputs, rows>(Chunks<Part, outputs>(chunk_of, index), x, aligned, sums);
  }
  finish<outputs, rows>(args, at, first_row, sums);
}

// Plain rows whose length is no multiple of a chunk, one weight at a time.
template <WeightFormat format, int rows>
__global__ void __launch_bounds__(threads)
    odd_rows_kernel(const __grid_constant__ FewRows args, std::int64_t row_bytes) {
  const Position at = position_of<1>(args);
  const int first_row = static_cast<int>(blockIdx.y) * rows;
  const std::uint8_t* values =
      static_cast<const std::uint8_t*>(args.parts[at.part].values) + at.first_output * row_bytes;
  float sums[1][rows] = {};
  for (int i = threadIdx.x; i < args.inputs; i += threads) {
    const float w = plain_weight<format>(values, i);
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      sums[0][r] = fmaf(w, args.x[min(first_row + r, args.rows - 1) * args.x_stride + i], sums[0][r]);
    }
  }
  finish<1, rows>(args, at, first_row, sums);
}

unsigned blocks_of(const FewRows& args, int outputs) {
  int blocks = 0;
  for (int part = 0; part < args.count; ++part) blocks += blocks_for(args.parts[part].outputs, outputs);
  return static_cast<unsigned>(blocks);
}

template <WeightFormat format, int rows>
void launch(const FewRows& args, cudaStream_t stream) {
  // So many outputs that the inputs' loads are shared, so few that all weights stay in registers.
  constexpr int outputs = is_plain<format> ? 4 : 2;
  const dim3 grid(blocks_of(args, outputs), static_cast<unsigned>(blocks_for(args.rows, rows)));
  const bool aligned = reinterpret_cast<std::uintptr_t>(args.x) % 16 == 0 && args.x_stride % 4 == 0;
  few_rows_kernel<format, outputs, rows><<<grid, threads, 0, stream>>>(
      args, aligned, value_row_bytes(format, args.inputs), scale_row_bytes(format, args.inputs) / 2);
}

template <WeightFormat format>
void launch_odd(const FewRows& args, cudaStream_t stream) {
  if constexpr (is_plain<format>) {
    const dim3 grid(blocks_of(args, 1), static_cast<unsigned>(blocks_for(args.rows, few_rows_block)));
    odd_rows_kernel<format, few_rows_block><<<grid, threads, 0, stream>>>(args, value_row_bytes(format, args.inputs));
  }
}

}  // namespace

void launch_few_rows(const FewRows& args, cudaStream_t stream) {
  if (args.rows == 0 || blocks_of(args, 1) == 0) return;
  for_format(args.format, [&](auto constant) {
    constexpr WeightFormat format = decltype(constant)::value;
    if (!has_chunks(format, args.inputs)) return launch_odd<format>(args, stream);
    if (args.rows == 1) return launch<format, 1>(args, stream);
    if (args.rows == 2) return launch<format, 2>(args, stream);
    if (args.rows <= 4) return launch<format, 4>(args, stream);
    launch<format, few_rows_block>(args, stream);
  });
  check_launch("few_rows");
}

}  // namespace precis::cuda
