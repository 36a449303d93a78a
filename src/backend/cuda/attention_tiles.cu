// Attention for rows of which there are many, by tensor cores. A block has 128 queries (some rows of a run times the
// query heads of one KV head), each of its 8 warps 16 of them. Entries come in blocks of 64, summaries first and then
// text, K and V of the next block on their way while one is computed; one softmax runs over both tracks. Blocks that no
// row sees are skipped, and entries that no row sees are neither read nor left to chance: they are zeros.
#include <algorithm>

#include "backend/cuda/attention_view.cuh"
#include "backend/cuda/check.h"
#include "backend/cuda/tensor_core.cuh"

namespace precis::cuda {
namespace {

constexpr int tile_warps = tile_queries / 16;
constexpr int tile_threads = tile_warps * warp_lanes;
// Threads that load one entry together.
constexpr int entry_threads = tile_threads / entry_block;
constexpr float no_score = -1e30F;

// Rows in shared memory are 16 bytes longer than they need: the 8 rows that are read at once lie in different banks.
template <int head_dim>
struct TileMemory {
  static constexpr int pitch = head_dim + 8;

  __nv_bfloat16 q[tile_queries][pitch];
  __nv_bfloat16 k[2][entry_block][pitch];
  __nv_bfloat16 v[2][entry_block][pitch];
  RowBounds bounds[tile_queries];  // of rows
};

// What the rows of a tile see of one track.
struct TrackSight {
  int low;  // entries that some row sees lie in [low, high)
  int high;
  int all_low;  // entries in [all_low, all_high) are seen by all rows
  int all_high;

  __device__ bool all_see(int first) const { return all_low <= first && first + entry_block <= all_high; }
};

__device__ inline Bounds bounds_in(const RowBounds& row, bool summary) {
  return summary ? row.summary : row.text;
}

// Called by whole warps, each of which finds the same.
__device__ TrackSight sight_of(const RowBounds* rows, int count, bool summary) {
  TrackSight sight{INT_MAX, 0, 0, INT_MAX};
  for (int row = static_cast<int>(threadIdx.x) % warp_lanes; row < count; row += warp_lanes) {
    const Bounds bounds = bounds_in(rows[row], summary);
    sight.all_low = max(sight.all_low, bounds.low);
    sight.all_high = min(sight.all_high, max(bounds.high, 0));
    if (bounds.low >= bounds.high) {
      sight.all_high = 0;
      continue;
    }
    sight.low = min(sight.low, bounds.low);
    sight.high = max(sight.high, bounds.high);
  }
  return {__reduce_min_sync(all_lanes, sight.low), __reduce_max_sync(all_lanes, sight.high),
          __reduce_max_sync(all_lanes, sight.all_low), __reduce_min_sync(all_lanes, sight.all_high)};
}

// Bit i: entry first + i is in the interval.
__device__ inline std::uint64_t interval_bits(const Bounds& bounds, int first) {
  const int low = min(max(bounds.low - first, 0), entry_block);
  const int high = min(max(bounds.high - first, 0), entry_block);
  if (low >= high) return 0;
  return (~0ULL << low) & (~0ULL >> (entry_block - high));
}

// The blocks of entries that a tile goes through, summaries before text.
class TileBlocks {
 public:
  __device__ TileBlocks(const RowBounds* rows, int count)
      : rows_(rows),
        count_(count),
        summary_(sight_of(rows, count, true)),
        text_(sight_of(rows, count, false)),
        summary_blocks_(Bounds{min(summary_.low, summary_.high), summary_.high}),
        text_blocks_(Bounds{min(text_.low, text_.high), text_.high}) {}

  __device__ int end() const { return summary_blocks_.count + text_blocks_.count; }
  __device__ bool is_summary(int block) const { return block < summary_blocks_.count; }
  __device__ int first_entry(int block) const {
    return entry_block *
           (is_summary(block) ? summary_blocks_.first + block : text_blocks_.first + block - summary_blocks_.count);
  }
  __device__ bool all_see(int block) const {
    return (is_summary(block) ? summary_ : text_).all_see(first_entry(block));
  }

  // The first block from `block` on that some row sees; `seen` becomes the entries of it that some row sees. Called by
  // whole warps.
  __device__ int next(int block, std::uint64_t& seen) const {
    for (; block < end(); ++block) {
      seen = seen_of(block);
      if (seen != 0) return block;
    }
    return block;
  }

 private:
  __device__ std::uint64_t seen_of(int block) const {
    if (all_see(block)) return ~0ULL;
    const int first = first_entry(block);
    std::uint64_t bits = 0;
    for (int row = static_cast<int>(threadIdx.x) % warp_lanes; row < count_; row += warp_lanes) {
      bits |= interval_bits(bounds_in(rows_[row], is_summary(block)), first);
    }
    const std::uint64_t low = __reduce_or_sync(all_lanes, static_cast<unsigned>(bits));
    const std::uint64_t high = __reduce_or_sync(all_lanes, static_cast<unsigned>(bits >> 32));
    return low | high << 32;
  }

  const RowBounds* rows_;
  int count_;
  TrackSight summary_;
  TrackSight text_;
  EntryBlocks summary_blocks_;
  EntryBlocks text_blocks_;
};

// Begins to load K and V of a block; entries that nobody sees become zeros.
template <int head_dim>
__device__ void load_block(const TrackKeys& keys, std::int64_t value_offset, int first, std::uint64_t seen,
                           __nv_bfloat16 (*k)[head_dim + 8], __nv_bfloat16 (*v)[head_dim + 8]) {
  const int entry = static_cast<int>(threadIdx.x) / entry_threads;
  const bool wanted = (seen >> entry & 1U) != 0;
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

// The rows of a block.
struct Tile {
  RowRun run;
  int first_row;  // of the call
  int rows;
};

// The last tiles, which see most, come first.
__device__ Tile tile_of(const TileArgs& args, int group) {
  const AttentionBatch& batch = args.batch;
  const int tile = static_cast<int>(gridDim.x - 1 - blockIdx.x);
  int index = 0;
  while (index + 1 < batch.count && tile >= batch.pieces[index + 1].at) ++index;
  const AttentionPiece& piece = batch.pieces[index];
  const int most_rows = tile_queries / group;
  const int first = (tile - piece.at) * most_rows;
  Tile result{batch.runs[piece.run], 0, min(most_rows, piece.rows - first)};
  result.first_row = piece.row + first;
  return result;
}

// Queries as bf16, row by row the heads of the group; zeros behind the last one.
template <int head_dim>
__device__ void load_queries(const AttentionBatch& batch, const Tile& tile, int first_head, int group,
                             __nv_bfloat16 (*q)[head_dim + 8]) {
  for (int index = static_cast<int>(threadIdx.x); index < tile_queries * head_dim / 2; index += tile_threads) {
    const int query = index / (head_dim / 2);
    const int dim = index % (head_dim / 2) * 2;
    float2 pair = make_float2(0, 0);
    if (query < tile.rows * group) {
      const float* from = batch.q + (tile.first_row + query / group) * batch.q_stride +
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
  load_queries<head_dim>(batch, tile, kv_head * group, group, memory.q);
  for (int row = static_cast<int>(threadIdx.x); row < tile.rows; row += tile_threads) {
    memory.bounds[row] = batch.bounds[tile.first_row + row];
  }
  __syncthreads();

  const TrackKeys summaries(batch, tile.run.summary, kv_head);
  const TrackKeys texts(batch, tile.run.text, kv_head);
  const TileBlocks blocks(memory.bounds, tile.rows);
  const auto load = [&](int block, std::uint64_t seen, int stage) {
    load_block<head_dim>(blocks.is_summary(block) ? summaries : texts, batch.kv.value_offset, blocks.first_entry(block),
                         seen, memory.k[stage], memory.v[stage]);
  };
  const int first_query = static_cast<int>(threadIdx.x) / warp_lanes * 16;
  const int own_query = first_query + TileWarp<head_dim>::lane() / 4;
  const bool has_queries = first_query < tile.rows * group;
  TileWarp<head_dim> warp;
  std::uint64_t seen = 0;
  int stage = 0;
  int block = blocks.next(0, seen);
  if (block < blocks.end()) load(block, seen, stage);
  commit_copies();
  while (block < blocks.end()) {
    const int after = blocks.next(block + 1, seen);
    if (after < blocks.end()) load(after, seen, stage ^ 1);
    commit_copies();
    wait_for_all_but_last();
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
  const dim3 grid(static_cast<unsigned>(args.tiles), static_cast<unsigned>(args.batch.kv.kv_heads));
  tile_kernel<head_dim><<<grid, tile_threads, bytes, stream>>>(args);
  check_launch("tile_attention");
}

}  // namespace

void launch_tile_attention(const TileArgs& args, cudaStream_t stream) {
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

}  // namespace precis::cuda
