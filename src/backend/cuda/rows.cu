// Operations that take each row, or each element, by itself.
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
// Blocks in the second dimension of a grid, at most.
constexpr std::int64_t most_grid_rows = 65535;

template <WeightFormat format>
__global__ void embed_kernel(const std::int32_t* ids, const std::int32_t* drawn, const std::uint8_t* values,
                             const std::uint16_t* scales, std::int64_t row_bytes, std::int64_t row_scales, int inputs,
                             float* x) {
  std::int64_t id = ids[blockIdx.x];
  if (id < 0) id = drawn[-1 - id];
  const std::uint8_t* row = values + id * row_bytes;
  float* to = x + static_cast<std::int64_t>(blockIdx.x) * inputs;
  if constexpr (is_plain<format>) {
    for (int i = threadIdx.x; i < inputs; i += threads) to[i] = plain_weight<format>(row, i);
  } else {
    using Part = Chunk<format>;
    for (int index = threadIdx.x; index < inputs / Part::inputs; index += threads) {
      const Part chunk(row, scales + id * row_scales, inputs, index);
#pragma unroll
      for (int run = 0; run < Part::runs; ++run) {
        float w[Part::width];
        chunk.read(run, w);
#pragma unroll
        for (int i = 0; i < Part::width; ++i) to[chunk.at(run) + i] = w[i];
      }
    }
  }
}

__global__ void rms_norm_kernel(const float* x, const float* weight, float* y, int width, float epsilon) {
  __shared__ float shared[threads / warp_lanes];
  let_next_begin();
  wait_for_previous();
  const std::int64_t start = static_cast<std::int64_t>(blockIdx.x) * width;
  float squares = 0;
  for (int i = threadIdx.x; i < width; i += threads) squares = fmaf(x[start + i], x[start + i], squares);
  const float mean = block_sum<threads / warp_lanes>(squares, shared) / static_cast<float>(width);
  const float root = sqrtf(mean + epsilon);
  for (int i = threadIdx.x; i < width; i += threads) y[start + i] = x[start + i] / root * weight[i];
}

// The angle is a float, its cosine and sine are computed in double, as on every backend.
__global__ void rotation_kernel(RotationArgs args) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (index >= args.rows * args.pairs) return;
  const std::int64_t row = index / args.pairs;
  const std::int64_t pair = index % args.pairs;
  const float angle = __fmul_rn(static_cast<float>(args.positions[row]), args.frequencies[pair]);
  double sine;
  double cosine;
  sincos(static_cast<double>(angle), &sine, &cosine);
  float* to = args.rotation + row * 2 * args.pairs;
  to[pair] = static_cast<float>(cosine) * args.magnitude;
  to[args.pairs + pair] = static_cast<float>(sine) * args.magnitude;
}

__global__ void gate_kernel(const float* gate, const float* up, float* y, std::int64_t count) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (i < count) y[i] = gated(gate[i], up[i]);
}

// Four at a time: 16 bytes of each.
template <typename Pair>
__global__ void gate_round_kernel(const float4* gate, const float4* up, Pair* y, std::int64_t count) {
  let_next_begin();
  wait_for_previous();
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (i >= count) return;
  const float4 g = gate[i];
  const float4 u = up[i];
  y[2 * i] = rounded_pair<Pair>(gated(g.x, u.x), gated(g.y, u.y));
  y[2 * i + 1] = rounded_pair<Pair>(gated(g.z, u.z), gated(g.w, u.w));
}

// Rows in the grid's second dimension; several of them where there are more than it may have.
__global__ void gather_kernel(GatherArgs args) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (i >= args.width) return;
  for (std::int64_t row = blockIdx.y; row < args.count; row += gridDim.y) {
    args.y[row * args.width + i] = args.x[args.rows[row] * args.width + i];
  }
}

dim3 grid_of(std::int64_t width, std::int64_t rows) {
  return {static_cast<unsigned>(blocks_for(width, threads)), static_cast<unsigned>(std::min(rows, most_grid_rows))};
}

}  // namespace

cudaError_t probe_kernels() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, rms_norm_kernel);
}

void launch_embed(const EmbedArgs& args, cudaStream_t stream) {
  const WeightView& table = args.table;
  if (args.rows == 0) return;
  for_format(table.format, [&](auto format) {
    embed_kernel<decltype(format)::value><<<static_cast<unsigned>(args.rows), threads, 0, stream>>>(
        args.ids, args.drawn, reinterpret_cast<const std::uint8_t*>(table.data),
        reinterpret_cast<const std::uint16_t*>(table.scales), value_row_bytes(table.format, table.inputs),
        scale_row_bytes(table.format, table.inputs) / 2, static_cast<int>(table.inputs), args.x);
  });
  check_launch("embed");
}

void launch_rms_norm(const RmsNormArgs& args, cudaStream_t stream) {
  if (args.rows == 0) return;
  launch_early("rms_norm", rms_norm_kernel, dim3(static_cast<unsigned>(args.rows)), threads, stream, args.x,
               args.weight, args.y, static_cast<int>(args.width), args.epsilon);
}

void launch_rotation(const RotationArgs& args, cudaStream_t stream) {
  if (args.rows == 0 || args.pairs == 0) return;
  rotation_kernel<<<static_cast<unsigned>(blocks_for(args.rows * args.pairs, threads)), threads, 0, stream>>>(args);
  check_launch("rotation");
}

void launch_gate(const float* gate, const float* up, float* y, std::int64_t count, cudaStream_t stream) {
  if (count == 0) return;
  gate_kernel<<<static_cast<unsigned>(blocks_for(count, threads)), threads, 0, stream>>>(gate, up, y, count);
  check_launch("gate");
}

void launch_gate_round(const float* gate, const float* up, std::int64_t count, Operand operand, void* y,
                       cudaStream_t stream) {
  if (count == 0) return;
  const dim3 grid(static_cast<unsigned>(blocks_for(count / 4, threads)));
  const auto launch = [&](auto* typed) {
    launch_early("gate_round", gate_round_kernel<std::remove_pointer_t<decltype(typed)>>, grid, threads, stream,
                 reinterpret_cast<const float4*>(gate), reinterpret_cast<const float4*>(up), typed, count / 4);
  };
  if (operand == Operand::f16) {
    launch(static_cast<__half2*>(y));
  } else {
    launch(static_cast<__nv_bfloat162*>(y));
  }
}

void launch_gather(const GatherArgs& args, cudaStream_t stream) {
  if (args.count == 0 || args.width == 0) return;
  gather_kernel<<<grid_of(args.width, args.count), threads, 0, stream>>>(args);
  check_launch("gather");
}

}  // namespace precis::cuda
