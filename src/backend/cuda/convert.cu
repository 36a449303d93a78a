// Operands and results of products with many rows, which cuBLASLt computes.
#include <algorithm>
#include <type_traits>

#include "backend/cuda/check.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/numbers.cuh"
#include "backend/cuda/weights.cuh"

namespace precis::cuda {
namespace {

constexpr int threads = 256;
constexpr std::int64_t most_grid_rows = 65535;

__device__ inline void set(float* to, float value) {
  *to = value;
}
__device__ inline void set(__half* to, float value) {
  *to = __float2half_rn(value);
}
__device__ inline void set(__nv_bfloat16* to, float value) {
  *to = __float2bfloat16_rn(value);
}

// `width` numbers that follow each other, in one access.
template <int width>
__device__ inline void read(const float* from, float (&numbers)[width]) {
  static_assert(width == 1 || width == 4);
  if constexpr (width == 1) {
    numbers[0] = *from;
  } else {
    *reinterpret_cast<float4*>(numbers) = *reinterpret_cast<const float4*>(from);
  }
}
template <typename To, int width>
__device__ inline void write(To* to, const float (&numbers)[width]) {
  struct alignas(sizeof(To) * width) Numbers {
    To at[width];
  } rounded;
#pragma unroll
  for (int i = 0; i < width; ++i) set(rounded.at + i, numbers[i]);
  *reinterpret_cast<Numbers*>(to) = rounded;
}

template <int width, typename To>
__global__ void round_kernel(const float* x, std::int64_t x_stride, std::int64_t rows, std::int64_t inputs, To* to) {
  let_next_begin();
  wait_for_previous();
  const std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x) * width;
  if (i >= inputs) return;
  for (std::int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    alignas(16) float numbers[width];
    read(x + row * x_stride + i, numbers);
    write(to + row * inputs + i, numbers);
  }
}

// A row a block. What fits stays in registers between the two times that a row is wanted.
template <int width, typename To>
__global__ void __launch_bounds__(threads) norm_round_kernel(const float* x, std::int64_t x_stride, std::int64_t inputs,
                                                             const float* weight, float epsilon, To* to) {
  constexpr int kept = 4;
  constexpr int at_once = threads * width;
  __shared__ float shared[threads / warp_lanes];
  let_next_begin();
  wait_for_previous();
  const float* row = x + static_cast<std::int64_t>(blockIdx.x) * x_stride;
  const std::int64_t first = threadIdx.x * width;
  alignas(16) float numbers[kept][width];
  float squares = 0;
  const auto square = [&](const float(&of)[width]) {
#pragma unroll
    for (int n = 0; n < width; ++n) squares = fmaf(of[n], of[n], squares);
  };
#pragma unroll
  for (int i = 0; i < kept; ++i) {
    if (first + i * at_once >= inputs) continue;
    read(row + first + i * at_once, numbers[i]);
    square(numbers[i]);
  }
  for (std::int64_t i = first + kept * at_once; i < inputs; i += at_once) {
    alignas(16) float more[width];
    read(row + i, more);
    square(more);
  }
  const float mean = block_sum<threads / warp_lanes>(squares, shared) / static_cast<float>(inputs);
  const float root = sqrtf(mean + epsilon);
  to += static_cast<std::int64_t>(blockIdx.x) * inputs;
  const auto finish = [&](std::int64_t i, float(&of)[width]) {
    alignas(16) float weights[width];
    read(weight + i, weights);
#pragma unroll
    for (int n = 0; n < width; ++n) of[n] = of[n] / root * weights[n];
    write(to + i, of);
  };
#pragma unroll
  for (int i = 0; i < kept; ++i) {
    if (first + i * at_once < inputs) finish(first + i * at_once, numbers[i]);
  }
  for (std::int64_t i = first + kept * at_once; i < inputs; i += at_once) {
    alignas(16) float more[width];
    read(row + i, more);
    finish(i, more);
  }
}

// One chunk a thread.
template <WeightFormat format, typename To>
__global__ void dequantize_kernel(const std::uint8_t* values, const std::uint16_t* scales, std::int64_t row_bytes,
                                  std::int64_t row_scales, std::int64_t outputs, int inputs, To* to) {
  using Part = Chunk<format>;
  const std::int64_t chunks = inputs / Part::inputs;
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (index >= outputs * chunks) return;
  const std::int64_t output = index / chunks;
  const Part chunk(values + output * row_bytes, scales + output * row_scales, inputs, static_cast<int>(index % chunks));
#pragma unroll
  for (int run = 0; run < Part::runs; ++run) {
    float w[Part::width];
    chunk.read(run, w);
    To* at = to + output * inputs + chunk.at(run);
#pragma unroll
    for (int i = 0; i < Part::width; ++i) set(at + i, w[i]);
  }
}

__global__ void add_bias_kernel(const float* bias, float* y, std::int64_t y_stride, std::int64_t rows,
                                std::int64_t outputs) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (i >= outputs) return;
  for (std::int64_t row = blockIdx.y; row < rows; row += gridDim.y) y[row * y_stride + i] += bias[i];
}

dim3 grid_of(std::int64_t width, std::int64_t rows) {
  return {static_cast<unsigned>(blocks_for(width, threads)), static_cast<unsigned>(std::min(rows, most_grid_rows))};
}

template <typename To>
void dequantize(const WeightView& weight, To* to, cudaStream_t stream) {
  for_format(weight.format, [&](auto constant) {
    constexpr WeightFormat format = decltype(constant)::value;
    const std::int64_t chunks = weight.outputs * weight.inputs / Chunk<format>::inputs;
    dequantize_kernel<format><<<static_cast<unsigned>(blocks_for(chunks, threads)), threads, 0, stream>>>(
        reinterpret_cast<const std::uint8_t*>(weight.data), reinterpret_cast<const std::uint16_t*>(weight.scales),
        value_row_bytes(format, weight.inputs), scale_row_bytes(format, weight.inputs) / 2, weight.outputs,
        static_cast<int>(weight.inputs), to);
  });
  check_launch("dequantize");
}

}  // namespace

bool has_chunks(WeightFormat format, std::int64_t inputs) {
  if (is_quantized(format)) return true;  // always whole blocks
  return inputs % (format == WeightFormat::f32 ? 4 : 8) == 0;
}

void launch_round(const float* x, std::int64_t x_stride, std::int64_t rows, std::int64_t inputs, Operand operand,
                  void* to, cudaStream_t stream) {
  const auto launch = [&](auto* typed) {
    using To = std::remove_pointer_t<decltype(typed)>;
    const bool fours = takes_fours(x, x_stride) && takes_fours(to, inputs);
    launch_early("round", fours ? round_kernel<4, To> : round_kernel<1, To>, grid_of(fours ? inputs / 4 : inputs, rows),
                 threads, stream, x, x_stride, rows, inputs, typed);
  };
  if (operand == Operand::bf16) {
    launch(static_cast<__nv_bfloat16*>(to));
  } else {
    launch(static_cast<__half*>(to));
  }
}

void launch_norm_round(const float* x, std::int64_t x_stride, std::int64_t rows, std::int64_t inputs,
                       const InputNorm& norm, Operand operand, void* to, cudaStream_t stream) {
  const bool fours = takes_fours(x, x_stride) && takes_fours(norm.weight, 0) && takes_fours(to, inputs);
  const auto launch = [&](auto* typed) {
    auto* kernel = fours ? norm_round_kernel<4, std::remove_pointer_t<decltype(typed)>>
                         : norm_round_kernel<1, std::remove_pointer_t<decltype(typed)>>;
    launch_early("norm_round", kernel, dim3(static_cast<unsigned>(rows)), threads, stream, x, x_stride, inputs,
                 norm.weight, norm.epsilon, typed);
  };
  if (operand == Operand::f32) launch(static_cast<float*>(to));
  if (operand == Operand::f16) launch(static_cast<__half*>(to));
  if (operand == Operand::bf16) launch(static_cast<__nv_bfloat16*>(to));
}

void launch_dequantize(const WeightView& weight, Operand operand, void* to, cudaStream_t stream) {
  if (operand == Operand::f32) {
    dequantize(weight, static_cast<float*>(to), stream);
  } else {
    dequantize(weight, static_cast<__nv_bfloat16*>(to), stream);
  }
}

void launch_add_bias(const float* bias, float* y, std::int64_t y_stride, std::int64_t rows, std::int64_t outputs,
                     cudaStream_t stream) {
  add_bias_kernel<<<grid_of(outputs, rows), threads, 0, stream>>>(bias, y, y_stride, rows, outputs);
  check_launch("add_bias");
}

}  // namespace precis::cuda
