// Products with several rows, where reading the weights is still what takes time, but too many multiply-adds for plain
// cores. A block computes 64 outputs for all rows: weights come to shared memory some steps before tensor cores
// multiply them, the first ones while the kernel before this one ends. Of each step's 128 inputs, half of the warps
// have the first 64 and half of them the others, and each warp has 16 outputs.
//
// Matrices of few outputs are shared by several blocks, each with a part of the inputs. These run as a cluster, in
// which each of them adds up all blocks' sums, in order, of some of the rows, out of their shared memory. How inputs
// are shared depends on the matrices alone, and so do all sums' orders: a row's bits are the same beside any others.
//
// Up to 4 rows are as exact as floats: they are there twice, rounded to bf16 and what rounding left over. Where they
// are to be normed, they are multiplied by the norm's weights on their way, and divided by the root in the end. So are
// more rows that come from a product which knew what norm would follow (NextRows): it leaves them rounded, times the
// weights, and the squares from which the roots follow.
#include "backend/cuda/several_rows.h"

#include <cooperative_groups.h>

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

// A chunk's place in rows of chunks, in bytes: of 8 neighbouring rows, chunks read at the same place lie in different
// banks.
__device__ inline unsigned place_of(int row, int chunk, int pitch = step_chunks) {
  return 16 * static_cast<unsigned>(row * pitch + (chunk ^ (row & 7)));
}

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

// What a thread copies of each step: a chunk of some rows, `threads` chunks apart. Addresses are worked out once, as a
// step's copies are on the way from one step to the next.
template <int chunks>
struct Copier {
  static constexpr int copies = (chunks + threads - 1) / threads;

  // Row i * rows_apart + threadIdx.x / step_chunks is from there on; a row's first inputs are copied at step 0.
  __device__ void begin(int i, const void* row, bool exists) {
    from[i] = static_cast<const std::uint16_t*>(row) + 8 * chunk();
    wanted |= exists ? 1U << i : 0;
  }

  // Steps come in order. `left`: inputs of a row from the step on.
  __device__ void copy(unsigned stage, int left) {
    if (chunks < threads && static_cast<int>(threadIdx.x) >= chunks) return;
    const bool exists = 8 * chunk() < left;
    const unsigned to = stage + place_of(static_cast<int>(threadIdx.x) / step_chunks, chunk());
#pragma unroll
    for (int i = 0; i < copies; ++i) {
      copy_async(to + i * 16 * threads, from[i], exists && (wanted >> i & 1U) != 0);
      from[i] += several_step;
    }
  }

  static constexpr int rows_apart = threads / step_chunks;
  static_assert(rows_apart % 8 == 0);  // chunks of a thread are exchanged alike
  __device__ static int chunk() {
    return static_cast<int>(threadIdx.x) % step_chunks;
  }

  const std::uint16_t* from[copies];
  unsigned wanted = 0;
};

using WeightCopier = Copier<several_outputs * step_chunks>;
template <int row_tiles>
using RowCopier = Copier<8 * row_tiles * step_chunks>;

// Gated: the first half of the rows are the gate's, the second half up's.
__device__ inline void begin_weights(const SeveralRows& args, const Place& at, WeightCopier& copier) {
#pragma unroll
  for (int i = 0; i < WeightCopier::copies; ++i) {
    const int row = i * WeightCopier::rows_apart + static_cast<int>(threadIdx.x) / step_chunks;
    const bool is_up = args.gated && row >= several_outputs / 2;
    const FewRowsPart& part = args.parts[is_up ? 1 : at.part];
    // Outputs past the last one repeat it and are not written.
    const std::int64_t output = min(at.first + row - (is_up ? several_outputs / 2 : 0), part.outputs - 1);
    copier.begin(i, static_cast<const std::uint16_t*>(part.values) + output * args.inputs + at.begin * several_step,
                 true);
  }
}

// Rows past the last one are zeros.
template <int row_tiles>
__device__ void begin_rounded(const SeveralRows& args, const Place& at, RowCopier<row_tiles>& copier) {
#pragma unroll
  for (int i = 0; i < RowCopier<row_tiles>::copies; ++i) {
    const int row = i * RowCopier<row_tiles>::rows_apart + static_cast<int>(threadIdx.x) / step_chunks;
    const bool exists = row < args.rows;
    const std::int64_t start = static_cast<std::int64_t>(exists ? row : 0) * args.inputs + at.begin * several_step;
    copier.begin(i, static_cast<const std::uint16_t*>(args.x) + start, exists);
  }
}

__device__ inline float root_of(const SeveralRows& args, float squares) {
  return sqrtf(squares / static_cast<float>(args.inputs) + args.epsilon);
}

// All of the block's inputs of exact rows: rounded, and behind all of them what rounding left over. `roots`: of each
// row, by which its sums are to be divided; written by all threads together.
__device__ inline void load_exact(const SeveralRows& args, const Place& at, std::byte* to, float* roots) {
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
      const int pitch = args.share_steps * step_chunks;
      reinterpret_cast<uint2*>(to + place_of(row, chunk, pitch))[half] = rounded;
      reinterpret_cast<uint2*>(to + place_of(row + args.rows, chunk, pitch))[half] = rest;
    }
    sum = lane_sum(sum);
    if (lane_index() == 0) squares[row][warp_index()] = sum;
  }
  __syncthreads();
  if (static_cast<int>(threadIdx.x) >= args.rows) return;
  float sum = 0;
  for (const float of_warp : squares[threadIdx.x]) sum += of_warp;
  roots[threadIdx.x] = root_of(args, sum);
}

// The roots of rows that are rounded without their norm's, from the squares that the products before left.
__device__ inline void load_roots(const SeveralRows& args, float* roots) {
  constexpr int lanes = threads / most_several_rows;  // of a row
  const int row = static_cast<int>(threadIdx.x) / lanes;
  float sum = 0;
  if (row < args.rows) {
    for (int part = static_cast<int>(threadIdx.x) % lanes; part < args.squares_parts; part += lanes) {
      sum += args.squares[part * most_several_rows + row];
    }
  }
  sum = lane_sum<lanes>(sum);
  if (threadIdx.x % lanes == 0) roots[row] = root_of(args, sum);
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
  // Of `rows` rows there are, of `pitch` chunks each; others count for nothing.
  __device__ LaneSums(int rows, int pitch) {
    const int first = warp_index() / output_warps * products_a_part * 2;  // chunk of the step
    weights = place_of(warp_index() % output_warps * 16 + lane_index() % 16, first + lane_index() / 16);
    // Two tiles of rows; of a single one, the second half is not used.
    x = place_of(min(lane_index() / 16 * 8 + lane_index() % 8, rows - 1), first + lane_index() / 8 % 2, pitch);
  }

  // A step's weights and rows, in shared memory.
  __device__ void add(unsigned step_weights, unsigned step_x) {
#pragma unroll
    for (int product = 0; product < products_a_part; ++product) {
      const unsigned further = 16 * 2 * product;  // bits that the first product's places have not
      std::uint32_t a[4];
      load_matrices(a, step_weights + (weights ^ further));
#pragma unroll
      for (int n = 0; n < row_tiles; n += 2) {
        std::uint32_t b[4];
        load_matrices(b, step_x + (x ^ further) + n * 8 * 16 * step_chunks);
        multiply<is_half>(of[n], a, b[0], b[1]);
        if constexpr (row_tiles > 1) multiply<is_half>(of[n + 1], a, b[2], b[3]);
      }
    }
  }

  unsigned weights;  // the lane's place in a step
  unsigned x;
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

  float of[parts][8 * row_tiles][several_outputs + 4];  // rows that are written together lie in different banks
};

// Of a tile's blocks, which are a cluster.
template <int row_tiles, bool exact>
struct TileSums {
  // Of all inputs; blocks and their warps in order.
  __device__ float of(int row, int output) const {
    float sum = 0;
#pragma unroll
    for (int rank = 0; rank < most_shares; ++rank) {
      if (rank >= shares) break;
      const BlockSums<row_tiles>& block = block_of(rank);
#pragma unroll
      for (int part = 0; part < parts; ++part) {
        sum += block.of[part][row][output];
        if constexpr (exact) sum += block.of[part][row + rows][output];
      }
    }
    return sum;
  }

  __device__ const BlockSums<row_tiles>& block_of(int rank) const {
#if __CUDA_ARCH__ >= 900
    if (shares > 1) return *cooperative_groups::this_cluster().map_shared_rank(own, rank);
#endif
    return *own;
  }

  // All blocks have come here, and what they wrote to shared memory is seen.
  __device__ void meet() const {
#if __CUDA_ARCH__ >= 900
    if (shares > 1) return cooperative_groups::this_cluster().sync();
#endif
    __syncthreads();
  }

  BlockSums<row_tiles>* own;
  int shares;
  int rows;
};

__device__ inline void write_rounded(void* to, bool to_half, std::int64_t at, float value) {
  if (to_half) {
    static_cast<__half*>(to)[at] = __float2half_rn(value);
  } else {
    static_cast<__nv_bfloat16*>(to)[at] = __float2bfloat16_rn(value);
  }
}

// Ends a tile. Each block has some of the rows: a warp takes one at a time, its lanes every 32nd output.
template <int row_tiles, bool exact>
struct Writer {
  static constexpr int most_rows = row_tiles;                        // of a warp
  static constexpr int most_outputs = several_outputs / warp_lanes;  // of a lane

  // What is added to, all of it on its way at once.
  __device__ void read_residual() {
    if (!args.accumulate) return;
    for_rows([&](int i, int row) {
#pragma unroll
      for (int j = 0; j < most_outputs; ++j) {
        if (exists(j)) before[i][j] = part.y[row * part.y_stride + output(j)];
      }
    });
  }

  // `roots`: of each row, by which the sums are to be divided.
  __device__ void write(const TileSums<row_tiles, exact>& sums, const float* roots) {
    for_rows([&](int i, int row) {
      const float root = roots[row];
      if (args.gated) return write_gated(sums, row, root);
      float squares = 0;
#pragma unroll
      for (int j = 0; j < most_outputs; ++j) {
        if (!exists(j)) continue;
        const float value = before[i][j] + product(part, sums.of(row, in_tile(j)), root, output(j));
        part.y[row * part.y_stride + output(j)] = value;
        if (args.next.rows == nullptr) continue;
        const std::int64_t to = static_cast<std::int64_t>(row) * part.outputs + output(j);
        write_rounded(args.next.rows, false, to, value * args.next.norm[output(j)]);
        squares = fmaf(value, value, squares);
      }
      if (args.next.rows == nullptr) return;
      squares = lane_sum(squares);
      if (lane_index() == 0) args.next.squares[at.tile * most_several_rows + row] = squares;
    });
  }

 private:
  template <typename Each>
  __device__ void for_rows(const Each& each) {
    const int share = (args.rows + args.shares - 1) / args.shares;
    const int last = min((at.rank + 1) * share, args.rows);
#pragma unroll
    for (int i = 0; i < most_rows; ++i) {
      const int row = at.rank * share + i * warps + warp_index();
      if (row < last) each(i, row);
    }
  }

  __device__ void write_gated(const TileSums<row_tiles, exact>& sums, int row, float root) {
    constexpr int own = several_outputs / 2;
#pragma unroll
    for (int j = 0; j < own / warp_lanes; ++j) {
      if (!exists(j)) continue;
      const float gate = product(part, sums.of(row, in_tile(j)), root, output(j));
      const float up = product(args.parts[1], sums.of(row, own + in_tile(j)), root, output(j));
      const float value = gated(gate, up);
      if (args.rounded != nullptr) {
        const std::int64_t to = static_cast<std::int64_t>(row) * part.outputs + output(j);
        write_rounded(args.rounded, args.rounds_to_half, to, value);
      } else {
        part.y[row * part.y_stride + output(j)] = value;
      }
    }
  }

  __device__ float product(const FewRowsPart& of, float sum, float root, int output) const {
    if (args.norm != nullptr) sum /= root;
    return of.bias != nullptr ? sum + of.bias[output] : sum;
  }
  __device__ int in_tile(int j) const {
    return lane_index() + j * warp_lanes;
  }
  __device__ int output(int j) const {
    return at.first + in_tile(j);
  }
  __device__ bool exists(int j) const {
    return output(j) < part.outputs;
  }

 public:
  const SeveralRows& args;
  const Place& at;
  const FewRowsPart& part;
  float before[most_rows][most_outputs] = {};
};

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
  constexpr unsigned stage_bytes = 16 * stage_chunks<row_tiles, exact>;
  extern __shared__ __align__(128) std::byte memory[];
  __shared__ float roots[most_several_rows];
  const Place at(args);
  const unsigned begin = shared_address(memory);
  const int left = args.inputs - at.begin * several_step;
  WeightCopier weights;
  begin_weights(args, at, weights);
  let_next_begin();
#pragma unroll
  for (int step = 0; step < depth - 1; ++step) {
    if (step < at.steps) weights.copy(begin + step * stage_bytes, left - step * several_step);
    if constexpr (exact) commit_copies();
  }
  wait_for_previous();
  RowCopier<row_tiles> rows;
  if constexpr (exact) {
    load_exact(args, at, memory + depth * stage_bytes, roots);
  } else {
    begin_rounded<row_tiles>(args, at, rows);
#pragma unroll
    for (int step = 0; step < depth - 1; ++step) {
      if (step < at.steps) {
        rows.copy(begin + step * stage_bytes + 16 * weight_chunks, left - step * several_step);
      }
      commit_copies();
    }
    if (args.squares != nullptr) load_roots(args, roots);
  }
  LaneSums<is_half, row_tiles> sums(exact ? 2 * args.rows : 8 * row_tiles,
                                    exact ? args.share_steps * step_chunks : step_chunks);
  unsigned used = begin;
  unsigned filled = begin + (depth - 1) * stage_bytes;
  for (int step = 0; step < at.steps; ++step) {
    wait_for_copies<depth - 2>();
    __syncthreads();  // all copies of the step are there, and nobody reads the step before any more
    const int next = step + depth - 1;
    if (next < at.steps) {
      weights.copy(filled, left - next * several_step);
      if constexpr (!exact) rows.copy(filled + 16 * weight_chunks, left - next * several_step);
    }
    commit_copies();
    sums.add(used, exact ? begin + depth * stage_bytes + step * 16 * step_chunks : used + 16 * weight_chunks);
    filled = used;
    used = used == begin + (depth - 1) * stage_bytes ? begin : used + stage_bytes;
  }
  Writer<row_tiles, exact> writer{args, at, args.parts[at.part]};
  writer.read_residual();
  wait_for_copies<0>();
  __syncthreads();
  auto* shared = reinterpret_cast<BlockSums<row_tiles>*>(memory);  // in the steps' place
  shared->put(sums);
  const TileSums<row_tiles, exact> tile{shared, args.shares, args.rows};
  tile.meet();
  writer.write(tile, roots);
  if (args.shares > 1) tile.meet();  // others may still read this block's
}

template <bool is_half, int row_tiles, bool exact>
void launch(const SeveralRows& args, cudaStream_t stream) {
  const auto kernel = several_rows_kernel<is_half, row_tiles, exact>;
  int chunks = stages<row_tiles, exact> * stage_chunks<row_tiles, exact>;
  if (exact) chunks += 2 * args.rows * args.share_steps * step_chunks;
  static_assert(sizeof(BlockSums<row_tiles>) <= 16 * stages<row_tiles, exact> * stage_chunks<row_tiles, exact>);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 16 * chunks), "cudaFuncSetAttribute");
  const auto blocks = static_cast<unsigned>(several_tiles(args) * args.shares);
  launch_early("several_rows", kernel, LaunchShape{dim3(blocks), threads, 16 * chunks, args.shares}, stream, args);
}

template <bool is_half>
void launch_rounded(const SeveralRows& args, cudaStream_t stream) {
  if (args.rows <= 8) return launch<is_half, 1, false>(args, stream);
  if (args.rows <= 16) return launch<is_half, 2, false>(args, stream);
  if (args.rows <= 32) return launch<is_half, 4, false>(args, stream);
  launch<is_half, 8, false>(args, stream);
}

}  // namespace

bool shares_in_clusters() {
  cudaFuncAttributes attributes{};
  const auto kernel = several_rows_kernel<false, 1, false>;
  check(cudaFuncGetAttributes(&attributes, kernel), "cudaFuncGetAttributes");
  return attributes.ptxVersion >= 90;
}

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
