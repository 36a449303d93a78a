// Scores of what runs may choose from: products of short vectors, in floats.
//
// Of a run of one row (decoding) it is reading k' that takes time: a team of lanes has an entry, 16 bytes each.
// Of a run of several rows (a piece of a prompt) there are two passes of the same products: the first leaves each row's
// largest f, the second the largest f - that of each entry. A block has 64 entries and goes through the rows 64 at a
// time.
#include <cuda_bf16.h>

#include <algorithm>
#include <bit>

#include "backend/cuda/check.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/select.h"
#include "backend/cuda/select_view.cuh"

namespace precis::cuda {
namespace {

struct ScoreArgs {
  const float* q;
  KvView kv;
  const PickRun* runs;
  SelectScratch scratch;
};

constexpr int chunk_dims = 8;

// 8 numbers of a k'.
template <typename Element>
struct ShortChunk {
  // `whole`: all 8 are there, and lie at a multiple of 16 bytes.
  __device__ void load(const Element* from, int dims, bool whole) {
    if (whole) {
      load_whole(from);
    } else {
#pragma unroll
      for (int i = 0; i < chunk_dims; ++i) of[i] = i < dims ? static_cast<float>(from[i]) : 0;
    }
  }

  float of[chunk_dims];

 private:
  __device__ void load_whole(const __nv_bfloat16* from) {
    const uint4 words = __ldcs(reinterpret_cast<const uint4*>(from));
    const std::uint32_t all[] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      of[2 * i] = first_bf16(all[i]);
      of[2 * i + 1] = second_bf16(all[i]);
    }
  }
  __device__ void load_whole(const float* from) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float4 four = __ldcs(reinterpret_cast<const float4*>(from) + i);
      of[4 * i] = four.x;
      of[4 * i + 1] = four.y;
      of[4 * i + 2] = four.z;
      of[4 * i + 3] = four.w;
    }
  }
};

__device__ inline bool has_whole_chunks(const KvView& kv) {
  return kv.short_dim % chunk_dims == 0;
}

constexpr int one_warps = 8;
constexpr int one_threads = one_warps * warp_lanes;
// Entries of a warp, one after the other for each team.
constexpr int warp_choices = 16;
constexpr int one_choices = one_warps * warp_choices;

// Grid: (blocks of entries, runs).
template <typename Element, int team>
__global__ void __launch_bounds__(one_threads) one_row_kernel(const __grid_constant__ ScoreArgs args) {
  constexpr int teams = warp_lanes / team;
  constexpr int rounds = warp_choices / teams;
  let_next_begin();
  const PickRun run = args.runs[blockIdx.y];
  const int begin = static_cast<int>(blockIdx.x) * one_choices;
  const int middle = middle_of(run);
  // Up to half of the blocks, and the last ones. The others wait for the kernel before; these make room for each other.
  if (run.rows != 1 || begin >= middle) return;
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes;
  const int first = begin + static_cast<int>(threadIdx.x) / warp_lanes * warp_choices + lane / team;
  const auto dims = static_cast<int>(args.kv.short_dim);
  const bool whole = has_whole_chunks(args.kv);
  const float* q = args.q + static_cast<std::int64_t>(run.first_row) * dims;
  // On the way to the second-level cache while the kernel before this one ends; read after that.
  const Element* keys[rounds];
#pragma unroll
  for (int i = 0; i < rounds; ++i) {
    const int choice = min(first + i * teams, middle - 1);
    keys[i] = short_key_of<Element>(args.kv, EntryPlace(run.track, args.kv, run.initial + choice));
    if (lane % team * chunk_dims < dims) {
      asm volatile("prefetch.global.L2 [%0];" ::"l"(keys[i] + lane % team * chunk_dims));
    }
  }
  wait_for_previous();
  float sums[rounds] = {};
  for (int dim = lane % team * chunk_dims; dim < dims; dim += team * chunk_dims) {
    float own[chunk_dims];
#pragma unroll
    for (int i = 0; i < chunk_dims; ++i) own[i] = dim + i < dims ? q[dim + i] : 0;
#pragma unroll
    for (int i = 0; i < rounds; ++i) {
      ShortChunk<Element> key;
      key.load(keys[i] + dim, dims - dim, whole);
#pragma unroll
      for (int j = 0; j < chunk_dims; ++j) sums[i] = fmaf(own[j], key.of[j], sums[i]);
    }
  }
  float* to = args.scratch.scores + blockIdx.y * args.scratch.stride;
#pragma unroll
  for (int i = 0; i < rounds; ++i) {
    const float sum = lane_sum<team>(sums[i]);
    const int choice = first + i * teams;
    if (lane % team == 0 && choice < middle) to[choice] = number(sum);
  }
}

// A tile of 64 entries and 64 rows; a thread has 4 of each, dimensions come 16 at a time.
constexpr int tile_side = 64;
constexpr int thread_side = 4;
constexpr int tile_threads = (tile_side / thread_side) * (tile_side / thread_side);
constexpr int slab_dims = 16;

struct Slab {
  float of[slab_dims][tile_side + 4];

  // Numbers of the tile's row or entry `index`: at(index) is the first of all, or none.
  template <typename At>
  __device__ void load(const At& at, int first_dim, int dims) {
    constexpr int each = tile_side * slab_dims / tile_threads;
    const int index = static_cast<int>(threadIdx.x) / (tile_threads / tile_side);
    const int first = static_cast<int>(threadIdx.x) % (tile_threads / tile_side) * each;
    const auto* from = at(index);
#pragma unroll
    for (int i = 0; i < each; ++i) {
      const int dim = first_dim + first + i;
      of[first + i][index] = from != nullptr && dim < dims ? static_cast<float>(from[dim]) : 0;
    }
  }
};

// f of a thread's entries (the first index) and rows.
struct TileScores {
  __device__ void add(const Slab& keys, const Slab& queries) {
    const int entry = static_cast<int>(threadIdx.x) % (tile_side / thread_side) * thread_side;
    const int row = static_cast<int>(threadIdx.x) / (tile_side / thread_side) * thread_side;
#pragma unroll
    for (int dim = 0; dim < slab_dims; ++dim) {
      const float4 k = *reinterpret_cast<const float4*>(&keys.of[dim][entry]);
      const float4 q = *reinterpret_cast<const float4*>(&queries.of[dim][row]);
      const float key[] = {k.x, k.y, k.z, k.w};
      const float query[] = {q.x, q.y, q.z, q.w};
#pragma unroll
      for (int i = 0; i < thread_side; ++i) {
#pragma unroll
        for (int j = 0; j < thread_side; ++j) of[i][j] = fmaf(key[i], query[j], of[i][j]);
      }
    }
  }

  float of[thread_side][thread_side] = {};
};

// Grid: (tiles of entries, runs). `last`: the second pass.
template <typename Element, bool last>
__global__ void __launch_bounds__(tile_threads) rows_kernel(const __grid_constant__ ScoreArgs args) {
  __shared__ __align__(16) Slab keys;
  __shared__ __align__(16) Slab queries;
  __shared__ float best[tile_side / thread_side][tile_side];
  const PickRun run = args.runs[blockIdx.y];
  const int begin = static_cast<int>(blockIdx.x) * tile_side;
  const int middle = middle_of(run);
  if (run.rows == 1 || begin >= middle) return;
  const auto dims = static_cast<int>(args.kv.short_dim);
  const int across = static_cast<int>(threadIdx.x) % (tile_side / thread_side);  // entries
  const int down = static_cast<int>(threadIdx.x) / (tile_side / thread_side);    // rows
  const auto key_at = [&](int entry) -> const Element* {
    if (begin + entry >= middle) return nullptr;
    return short_key_of<Element>(args.kv, EntryPlace(run.track, args.kv, run.initial + begin + entry));
  };
  float most[thread_side];
#pragma unroll
  for (float& value : most) value = -INFINITY;
  for (int first_row = 0; first_row < run.rows; first_row += tile_side) {
    const auto query_at = [&](int row) -> const float* {
      if (first_row + row >= run.rows) return nullptr;
      return args.q + static_cast<std::int64_t>(run.first_row + first_row + row) * dims;
    };
    TileScores scores;
    for (int dim = 0; dim < dims; dim += slab_dims) {
      __syncthreads();  // nobody reads the slabs before
      keys.load(key_at, dim, dims);
      queries.load(query_at, dim, dims);
      __syncthreads();
      scores.add(keys, queries);
    }
#pragma unroll
    for (int j = 0; j < thread_side; ++j) {
      const int row = first_row + down * thread_side + j;
      std::uint32_t* row_most = args.scratch.most + run.first_row + row;
      if constexpr (last) {
        if (row >= run.rows) continue;
        const float largest = float_of(*row_most);
#pragma unroll
        for (int i = 0; i < thread_side; ++i) {
          most[i] = fmaxf(most[i], number(number(scores.of[i][j]) - largest));
        }
      } else {
        float largest = -INFINITY;
#pragma unroll
        for (int i = 0; i < thread_side; ++i) {
          if (begin + across * thread_side + i < middle) largest = fmaxf(largest, number(scores.of[i][j]));
        }
#pragma unroll
        for (int distance = 1; distance < tile_side / thread_side; distance *= 2) {
          largest = fmaxf(largest, __shfl_xor_sync(all_lanes, largest, distance));
        }
        if (across == 0 && row < run.rows) atomicMax(row_most, order_of(largest));
      }
    }
  }
  if constexpr (last) {
#pragma unroll
    for (int i = 0; i < thread_side; ++i) best[down][across * thread_side + i] = most[i];
    __syncthreads();
    const int entry = static_cast<int>(threadIdx.x);
    if (entry >= tile_side || begin + entry >= middle) return;
    float largest = -INFINITY;
    for (const auto& of_rows : best) largest = fmaxf(largest, of_rows[entry]);
    args.scratch.scores[blockIdx.y * args.scratch.stride + begin + entry] = largest;
  }
}

template <typename Element>
void launch_one(const ScoreArgs& args, dim3 grid, cudaStream_t stream) {
  const std::int64_t chunks = (args.kv.short_dim + chunk_dims - 1) / chunk_dims;
  if (chunks <= 2) {
    launch_early("select", one_row_kernel<Element, 2>, grid, one_threads, stream, args);
  } else if (chunks <= 4) {
    launch_early("select", one_row_kernel<Element, 4>, grid, one_threads, stream, args);
  } else if (chunks <= 8) {
    launch_early("select", one_row_kernel<Element, 8>, grid, one_threads, stream, args);
  } else {
    launch_early("select", one_row_kernel<Element, 16>, grid, one_threads, stream, args);
  }
}

template <typename Element>
void launch_rows(const ScoreArgs& args, dim3 grid, cudaStream_t stream) {
  rows_kernel<Element, false><<<grid, tile_threads, 0, stream>>>(args);
  check_launch("select");
  rows_kernel<Element, true><<<grid, tile_threads, 0, stream>>>(args);
  check_launch("select");
}

}  // namespace

std::int64_t most_choices(const SelectArgs& args) {
  std::uint32_t pages = 1;
  for (const PickRun& run : args.runs) pages = std::max(pages, static_cast<std::uint32_t>(run.track.count));
  return (std::int64_t{std::bit_ceil(pages)} * args.kv.page_entries + 3) / 4 * 4;
}

void launch_scores(const SelectArgs& args, const SelectScratch& scratch, cudaStream_t stream) {
  const ScoreArgs scores{args.q, args.kv, args.device_runs, scratch};
  const auto runs = static_cast<unsigned>(args.runs.size());
  const bool floats = args.kv.short_type() == DType::f32;
  const auto is_one = [](const PickRun& run) { return run.rows == 1; };
  if (std::ranges::any_of(args.runs, is_one)) {
    const dim3 grid(static_cast<unsigned>(blocks_for(scratch.stride, one_choices)), runs);
    floats ? launch_one<float>(scores, grid, stream) : launch_one<__nv_bfloat16>(scores, grid, stream);
  }
  if (!std::ranges::all_of(args.runs, is_one)) {
    check(cudaMemsetAsync(scratch.most, 0, static_cast<std::size_t>(scratch.rows) * sizeof(std::uint32_t), stream),
          "cudaMemsetAsync");
    const dim3 grid(static_cast<unsigned>(blocks_for(scratch.stride, tile_side)), runs);
    floats ? launch_rows<float>(scores, grid, stream) : launch_rows<__nv_bfloat16>(scores, grid, stream);
  }
}

}  // namespace precis::cuda
