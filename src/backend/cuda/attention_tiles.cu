// Attention for rows of which there are many, by the tensor cores of any GPU. A block has a tile of 128 queries, each
// of its 8 warps 16 of them. Entries come in blocks of 64, K and V of the next block on their way while one is
// computed; one softmax runs over both tracks. Entries that no row sees are neither read nor left to chance: they are
// zeros.
#include "backend/cuda/attention_tile.cuh"
#include "backend/cuda/attention_tile.h"
#include "backend/cuda/check.h"
#include "backend/cuda/tensor_core.cuh"

namespace precis::cuda {
namespace {

constexpr int tile_warps = tile_queries / 16;
constexpr int tile_threads = tile_warps * warp_lanes;
// Threads that load one entry together.
constexpr int entry_threads = tile_threads / entry_block;

// Rows in shared memory are 16 bytes longer than they need: the 8 rows that are read at once lie in different banks.
template <int head_dim>
struct TileMemory {
  static constexpr int pitch = head_dim + 8;

  __nv_bfloat16 q[tile_queries][pitch];
  __nv_bfloat16 k[2][entry_block][pitch];
  __nv_bfloat16 v[2][entry_block][pitch];
  RowBounds bounds[tile_queries];  // of rows
};

// Begins to load K and V of a block; entries that nobody sees become zeros.
template <int head_dim>
__device__ void load_block(const TrackKeys& keys, std::int64_t value_offset, int first,
                           const EntryBits<entry_block>& seen, __nv_bfloat16 (*k)[head_dim + 8],
                           __nv_bfloat16 (*v)[head_dim + 8]) {
  const int entry = static_cast<int>(threadIdx.x) / entry_threads;
  const bool wanted = seen.has(entry);
  const std::byte* key = wanted ? keys.key(first + entry) : keys.head;
  for (int piece = static_cast<int>(threadIdx.x) % entry_threads; piece < head_dim / 8; piece += entry_threads) {
    copy_async(&k[entry][8 * piece], key + 16 * piece, wanted);
    copy_async(&v[entry][8 * piece], key + value_offset + 16 * piece, wanted);
  }
}

// What a warp's 16 queries have attended to so far. A thread holds two of the queries' rows of each 16 x 8 piece of
// scores and outputs: query lane / 4 and the one 8 further, columns 2 (lane % 4) and the next.
template <int head_dim>
class TileWarp {
 public:
  __device__ TileWarp() {
#pragma unroll
    for (int n = 0; n < head_dim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) out_[n][i] = 0;
    }
  }

  // `bounds`: of this thread's two queries, where some query does not see all of the block.
  __device__ void attend(const __nv_bfloat16 (*q)[head_dim + 8], const __nv_bfloat16 (*k)[head_dim + 8],
                         const __nv_bfloat16 (*v)[head_dim + 8], float scale, bool masked, const Bounds (&bounds)[2],
                         int first) {
    float scores[entry_block / 8][4];
    score(q, k, scores);
#pragma unroll
    for (int n = 0; n < entry_block / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int entry = first + 8 * n + 2 * (lane() % 4) + i % 2;
        const Bounds& sight = bounds[i / 2];
        const bool seen = !masked || (sight.low <= entry && entry < sight.high);
        scores[n][i] = seen ? scores[n][i] * scale : -INFINITY;
      }
    }
    weigh(scores);
    add(v, scores);
  }

  // Sums of the weights of the two queries.
  __device__ void finish_sums() {
#pragma unroll
    for (int half = 0; half < 2; ++half) sum_[half] = lane_sum<4>(sum_[half]);
  }

  // Calls write(half, dimension, value of it, value of the next one).
  template <typename Write>
  __device__ void for_outputs(const Write& write) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float share = 1 / sum_[half];
#pragma unroll
      for (int n = 0; n < head_dim / 8; ++n) {
        write(half, 8 * n + 2 * (lane() % 4), out_[n][2 * half] * share, out_[n][2 * half + 1] * share);
      }
    }
  }

  static __device__ int lane() {
    return static_cast<int>(threadIdx.x) % warp_lanes;
  }

 private:
  __device__ void score(const __nv_bfloat16 (*q)[head_dim + 8], const __nv_bfloat16 (*k)[head_dim + 8],
                        float (&scores)[entry_block / 8][4]) const {
#pragma unroll
    for (int n = 0; n < entry_block / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[n][i] = 0;
    }
    const int row = lane() % 8;
    const int quarter = lane() / 8;
#pragma unroll
    for (int d = 0; d < head_dim; d += 16) {
      std::uint32_t a[4];
      load_matrices(a, &q[row + quarter % 2 * 8][d + quarter / 2 * 8]);
#pragma unroll
      for (int n = 0; n < entry_block / 8; n += 2) {
        std::uint32_t b[4];
        load_matrices(b, &k[8 * n + row + quarter / 2 * 8][d + quarter % 2 * 8]);
        multiply_add(scores[n], a, b[0], b[1]);
        multiply_add(scores[n + 1], a, b[2], b[3]);
      }
    }
  }

  // Scores -> weights relative to the largest score so far.
  __device__ void weigh(float (&scores)[entry_block / 8][4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float most = most_[half];
#pragma unroll
      for (int n = 0; n < entry_block / 8; ++n) most = fmaxf(most, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
      most = fmaxf(most, __shfl_xor_sync(all_lanes, most, 1));
      most = fmaxf(most, __shfl_xor_sync(all_lanes, most, 2));
      const float fall = power_of_two(most_[half] - most);
      most_[half] = most;
      float sum = 0;
#pragma unroll
      for (int n = 0; n < entry_block / 8; ++n) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          scores[n][i] = power_of_two(scores[n][i] - most);
          sum += scores[n][i];
        }
      }
      sum_[half] = sum_[half] * fall + sum;
#pragma unroll
      for (int n = 0; n < head_dim / 8; ++n) {
        out_[n][2 * half] *= fall;
        out_[n][2 * half + 1] *= fall;
      }
    }
  }

  __device__ void add(const __nv_bfloat16 (*v)[head_dim + 8], const float (&weights)[entry_block / 8][4]) {
    const int row = lane() % 8;
    const int quarter = lane() / 8;
#pragma unroll
    for (int e = 0; e < entry_block; e += 16) {
      const float(&first)[4] = weights[e / 8];
      const float(&second)[4] = weights[e / 8 + 1];
      const std::uint32_t a[4] = {pair_of(first[0], first[1]), pair_of(first[2], first[3]),
                                  pair_of(second[0], second[1]), pair_of(second[2], second[3])};
#pragma unroll
      for (int d = 0; d < head_dim; d += 16) {
        std::uint32_t b[4];
        load_transposed(b, &v[e + row + quarter % 2 * 8][d + quarter / 2 * 8]);
        multiply_add(out_[d / 8], a, b[0], b[1]);
        multiply_add(out_[d / 8 + 1], a, b[2], b[3]);
      }
    }
  }

  float out_[head_dim / 8][4];
  float most_[2] = {no_score, no_score};
  float sum_[2] = {0, 0};
};

// Queries as bf16, row by row the heads of the group; zeros behind the last one. `of_picked`: those for what was
// picked.
template <int head_dim>
__device__ void load_queries(const AttentionBatch& batch, const Tile& tile, int first_head, int group, bool of_picked,
                             __nv_bfloat16 (*q)[head_dim + 8]) {
  for (int index = static_cast<int>(threadIdx.x); index < tile_queries * head_dim / 2; index += tile_threads) {
    const int query = index / (head_dim / 2);
    const int dim = index % (head_dim / 2) * 2;
    float2 pair = make_float2(0, 0);
    if (query < tile.rows * group) {
      const float* from = row_queries(batch, tile.first_row + query / group, of_picked) +
                          static_cast<std::int64_t>(first_head + query % group) * head_dim + dim;
      pair = make_float2(from[0], from[1]);
    }
    *reinterpret_cast<__nv_bfloat162*>(&q[query][dim]) = __floats2bfloat162_rn(pair.x, pair.y);
  }
}

template <int head_dim>
__global__ void __launch_bounds__(tile_threads) tile_kernel(const __grid_constant__ TileArgs args) {
  extern __shared__ __align__(16) std::uint8_t shared_bytes[];
  auto& memory = *reinterpret_cast<TileMemory<head_dim>*>(shared_bytes);
  const AttentionBatch& batch = args.batch;
  const int kv_head = static_cast<int>(blockIdx.y);
  const int group = batch.heads / static_cast<int>(batch.kv.kv_heads);
  const Tile tile = tile_of(args, group);
  const bool queries_differ = tile.run.picked && batch.picked_q != nullptr;
  // Summaries come first.
  bool of_picked = queries_differ;
  load_queries<head_dim>(batch, tile, kv_head * group, group, of_picked, memory.q);
  for (int row = static_cast<int>(threadIdx.x); row < tile.rows; row += tile_threads) {
    memory.bounds[row] = batch.bounds[tile.first_row + row];
  }
  __syncthreads();

  const TrackKeys summaries = summary_keys(batch, tile.run, kv_head);
  const TrackKeys texts(batch, tile.run.text, kv_head);
  const TileBlocks<entry_block> blocks(memory.bounds, tile.rows);
  const auto load = [&](int block, const EntryBits<entry_block>& seen, int stage) {
    load_block<head_dim>(blocks.is_summary(block) ? summaries : texts, batch.kv.value_offset, blocks.first_entry(block),
                         seen, memory.k[stage], memory.v[stage]);
  };
  const int first_query = static_cast<int>(threadIdx.x) / warp_lanes * 16;
  const int own_query = first_query + TileWarp<head_dim>::lane() / 4;
  const bool has_queries = first_query < tile.rows * group;
  TileWarp<head_dim> warp;
  EntryBits<entry_block> seen{};
  int stage = 0;
  int block = blocks.next(0, seen);
  if (block < blocks.end()) load(block, seen, stage);
  commit_copies();
  while (block < blocks.end()) {
    const int after = blocks.next(block + 1, seen);
    if (after < blocks.end()) load(after, seen, stage ^ 1);
    commit_copies();
    wait_for_all_but_last();
    if (of_picked && !blocks.is_summary(block)) {
      of_picked = false;
      load_queries<head_dim>(batch, tile, kv_head * group, group, of_picked, memory.q);
    }
    __syncthreads();
    if (has_queries) {
      Bounds bounds[2];
      for (int half = 0; half < 2; ++half) {
        const int row = min((own_query + 8 * half) / group, tile.rows - 1);
        bounds[half] = bounds_in(memory.bounds[row], blocks.is_summary(block));
      }
      warp.attend(memory.q + first_query, memory.k[stage], memory.v[stage], batch.scale, !blocks.all_see(block), bounds,
                  blocks.first_entry(block));
    }
    __syncthreads();  // before the block after the next one is loaded to where this one was
    block = after;
    stage ^= 1;
  }

  if (!has_queries) return;
  warp.finish_sums();
  warp.for_outputs([&](int half, int dim, float value, float next) {
    const int query = own_query + 8 * half;
    if (query >= tile.rows * group) return;
    const std::int64_t row = tile.first_row + query / group;
    float* out = batch.out + (row * batch.heads + kv_head * group + query % group) * head_dim + dim;
    *reinterpret_cast<float2*>(out) = make_float2(value, next);
  });
}

template <int head_dim>
void launch_tiles(const TileArgs& args, cudaStream_t stream) {
  constexpr auto bytes = static_cast<int>(sizeof(TileMemory<head_dim>));
  check(cudaFuncSetAttribute(tile_kernel<head_dim>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
        "cudaFuncSetAttribute");
  const dim3 grid(static_cast<unsigned>(args.tiles), static_cast<unsigned>(args.kv_heads));
  tile_kernel<head_dim><<<grid, tile_threads, bytes, stream>>>(args);
  check_launch("tile_attention");
}

}  // namespace

void launch_mma_tiles(const TileArgs& args, cudaStream_t stream) {
  switch (args.batch.kv.head_dim) {
    case 64:
      return launch_tiles<64>(args, stream);
    case 80:
      return launch_tiles<80>(args, stream);
    case 96:
      return launch_tiles<96>(args, stream);
    case 128:
      return launch_tiles<128>(args, stream);
    default:
      return launch_tiles<256>(args, stream);
  }
}

void launch_tile_attention(const TileArgs& args, cudaStream_t stream) {
  if (has_wgmma_tiles(args.batch.kv.head_dim)) {
    launch_wgmma_tiles(args, stream);
  } else {
    launch_mma_tiles(args, stream);
  }
}

}  // namespace precis::cuda
