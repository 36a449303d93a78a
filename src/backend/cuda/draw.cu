// What drawing takes of each row: its largest logits in order, the sum of all weights, the id that a number falls on.
//
// Two kernels. The first one finds the largest logit of each *group*, the ids that leave the same rest, and a key that
// as many groups as candidates are wanted reach: there are at least as many ids from there on, and few more. The second
// one collects those, or adds weights up, slice by slice; the last block of a row finishes it.
#include <algorithm>

#include "backend/cuda/check.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/logit_key.cuh"
#include "backend/cuda/numbers.cuh"

namespace precis::cuda {
namespace {

using Key = unsigned long long;

constexpr int threads = 256;
constexpr int warps = threads / warp_lanes;
constexpr int search_blocks = 96;  // of a row
constexpr int block_groups = 16;
constexpr int groups = search_blocks * block_groups;
constexpr int thread_groups = groups / threads;
// Ids that are collected, at most. About 290 of 1,536 groups' ids reach what 256 groups do, wherever they are; where
// likely ids sit in the same groups there may be more, and past this number the row has no candidates.
constexpr int most_collected = 1024;
constexpr int most_candidates = static_cast<int>(RowDraw::most_candidates);
constexpr int slice_ids = static_cast<int>(draw_slice);
constexpr int thread_ids = slice_ids / threads;
static_assert(groups + 1 + most_collected == draw_words);

// What a row has in memory: the groups' largest keys, the key that candidates reach, and those that do.
struct RowWords {
  Key* groups;
  Key* least;
  Key* collected;
};

__device__ inline RowWords words_of(Key* keys, int row) {
  Key* words = keys + row * draw_words;
  return {words, words + groups, words + groups + 1};
}

__device__ inline bool wants_candidates(DrawWants wants) {
  return wants == DrawWants::candidates || wants == DrawWants::candidates_and_sum;
}
__device__ inline bool wants_sums(DrawWants wants) {
  return wants == DrawWants::candidates_and_sum || wants == DrawWants::id;
}

__device__ inline int warp_sum(int value) {
#if __CUDA_ARCH__ >= 800
  return __reduce_add_sync(all_lanes, value);
#else
#pragma unroll
  for (int distance = warp_lanes / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(all_lanes, value, distance);
  return value;
#endif
}

// Keys of a block that are at least `least`. `shared`: [warps], and not the one of the call before, which may still be
// read.
__device__ inline int count_reaching(const Key (&keys)[thread_groups], Key least, int* shared) {
  int count = 0;
#pragma unroll
  for (const Key key : keys) count += key >= least ? 1 : 0;
  count = warp_sum(count);
  if (threadIdx.x % warp_lanes == 0) shared[threadIdx.x / warp_lanes] = count;
  __syncthreads();
  count = 0;
#pragma unroll
  for (int warp = 0; warp < warps; ++warp) count += shared[warp];
  return count;
}

// A key that at least `wanted` of the block's reach, and the largest such unless just `wanted` reach a smaller one. Bit
// by bit.
__device__ inline Key reached_by(const Key (&keys)[thread_groups], int wanted, int (&shared)[2][warps]) {
  Key least = 0;
  for (int bit = 63; bit >= 0; --bit) {
    const Key next = least | Key{1} << bit;
    const int count = count_reaching(keys, next, shared[bit % 2]);
    if (count < wanted) continue;
    least = next;
    if (count == wanted) break;
  }
  return least;
}

// The last block of a row: the most likely id, and the key that candidates reach; 0 where all are to be collected.
__device__ inline void finish_search(const RowWords& row, std::int64_t vocabulary, DrawWants wants, std::int32_t* id) {
  __shared__ Key shared_keys[warps];
  __shared__ int shared_counts[2][warps];
  Key keys[thread_groups];
  Key largest = 0;
#pragma unroll
  for (int i = 0; i < thread_groups; ++i) {
    keys[i] = __ldcg(row.groups + i * threads + threadIdx.x);
    largest = max(largest, keys[i]);
  }
  largest = warp_largest(largest);
  if (threadIdx.x % warp_lanes == 0) shared_keys[threadIdx.x / warp_lanes] = largest;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (const Key key : shared_keys) largest = max(largest, key);
    *id = largest == 0 ? 0 : id_of(largest);
  }
  if (!wants_candidates(wants)) return;
  Key least = 0;
  if (vocabulary > most_collected) {
    const int filled = count_reaching(keys, 1, shared_counts[0]);
    // Of few groups: fewer candidates, not many more that reach what they do.
    least = reached_by(keys, max(1, min(most_candidates, filled / 3)), shared_counts);
  }
  if (threadIdx.x == 0) *row.least = least;
}

// Grid: (search_blocks, rows). `counters`: [rows], 0 before and after.
__global__ void __launch_bounds__(threads)
    draw_search_kernel(const float* logits, std::int64_t vocabulary, const DrawOptions* options, Key* keys,
                       std::int32_t* counters, std::int32_t* ids) {
  __shared__ Key shared[warps][warp_lanes];
  __shared__ bool is_last;
  let_next_begin();
  wait_for_previous();
  const int block = static_cast<int>(blockIdx.x);
  const int row = static_cast<int>(blockIdx.y);
  const int lane = static_cast<int>(threadIdx.x % warp_lanes);
  const int warp = static_cast<int>(threadIdx.x / warp_lanes);
  const RowWords words = words_of(keys, row);
  const float* from = logits + row * vocabulary;
  Key key = 0;
#pragma unroll 8
  for (int id = (warp * search_blocks + block) * warp_lanes + lane; id < vocabulary; id += search_blocks * threads) {
    key = max(key, key_of(from[id], id));
  }
  shared[warp][lane] = key;
  __syncthreads();
  if (warp == 0) {
#pragma unroll
    for (int other = 1; other < warps; ++other) key = max(key, shared[other][lane]);
    key = max(key, __shfl_xor_sync(all_lanes, key, block_groups));
    if (lane < block_groups) words.groups[block * block_groups + lane] = key;
  }
  __syncthreads();
  if (threadIdx.x == 0) is_last = count_block(counters + row, search_blocks);
  __syncthreads();
  if (is_last) finish_search(words, vocabulary, options[row].wants, ids + row);
}

// As DrawOptions tells. Differs from the host's by rounding of the exponential alone.
__device__ inline double weight_of(float logit, float largest, const DrawOptions& options) {
  const float scaled = (logit - largest) / options.temperature;
  return scaled >= options.least ? exp(static_cast<double>(scaled)) : 0;
}

// Thread 0 gets the sum over the block, in an order that is always the same.
__device__ inline double block_total(double value) {
  __shared__ double shared[warps];
#pragma unroll
  for (int distance = warp_lanes / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(all_lanes, value, distance);
  }
  if (threadIdx.x % warp_lanes == 0) shared[threadIdx.x / warp_lanes] = value;
  __syncthreads();
  value = shared[0];
#pragma unroll
  for (int warp = 1; warp < warps; ++warp) value += shared[warp];
  return value;
}

// Goes along `count` sums until `left` of them is used up: the sum that it ends in, -1 where it does not. `last`: the
// last sum passed that is more than 0; stays where there is none.
__device__ inline int walk(const double* sums, int count, double& left, int& last) {
  for (int i = 0; i < count; ++i) {
    if (sums[i] > 0) {
      last = i;
      if (left < sums[i]) return i;
    }
    left -= sums[i];
  }
  return -1;
}

// The same where it has to end: what rounding leaves over ends in the last sum that is more than 0, as far along as
// can be.
__device__ inline int walk_inside(const double* sums, int count, double& left) {
  int last = 0;
  const int at = walk(sums, count, left, last);
  if (at >= 0) return at;
  left = INFINITY;
  return last;
}

struct DrawnRow {
  const float* logits;
  std::int64_t vocabulary;
  float largest;
  DrawOptions options;
  const double* sums;  // [slices]
  int slices;
};

// Every thread's ids are neighbours.
__device__ inline int first_id(int slice) {
  return slice * slice_ids + static_cast<int>(threadIdx.x) * thread_ids;
}

__device__ inline void thread_weights(const DrawnRow& row, int slice, double (&weights)[thread_ids]) {
#pragma unroll
  for (int i = 0; i < thread_ids; ++i) {
    const int id = first_id(slice) + i;
    weights[i] = id < row.vocabulary ? weight_of(row.logits[id], row.largest, row.options) : 0;
  }
}

// The id of a slice that `left` of its weights ends in. Thread 0 gets it; `left` counts in thread 0 alone. `shared`:
// [threads].
__device__ inline std::int32_t id_in_slice(const DrawnRow& row, int slice, double left, double* shared) {
  __shared__ double of_lane[warp_lanes];
  constexpr int lane_threads = threads / warp_lanes;
  double weights[thread_ids];
  thread_weights(row, slice, weights);
  double sum = 0;
#pragma unroll
  for (const double weight : weights) sum += weight;
  __syncthreads();
  shared[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x < warp_lanes) {
    sum = 0;
    for (int i = 0; i < lane_threads; ++i) sum += shared[threadIdx.x * lane_threads + i];
    of_lane[threadIdx.x] = sum;
  }
  __syncthreads();
  if (threadIdx.x > 0) return 0;
  const int lane = walk_inside(of_lane, warp_lanes, left);
  const int thread = lane * lane_threads + walk_inside(shared + lane * lane_threads, lane_threads, left);
  const int first = slice * slice_ids + thread * thread_ids;
#pragma unroll
  for (int i = 0; i < thread_ids; ++i) {
    const int id = first + i;
    weights[i] = id < row.vocabulary ? weight_of(row.logits[id], row.largest, row.options) : 0;
  }
  return first + walk_inside(weights, thread_ids, left);
}

// Sum of all weights, and the id drawn where one is wanted.
__device__ inline void finish_sums(const DrawnRow& row, std::int32_t best, RowDraw& draw) {
  __shared__ double shared[threads];
  __shared__ int slice;
  double total = 0;  // thread 0's
  double left = 0;   // thread 0's
  const auto each_piece = [&](const auto& take) {
    for (int first = 0; first < row.slices; first += threads) {
      const int count = min(threads, row.slices - first);
      if (static_cast<int>(threadIdx.x) < count) shared[threadIdx.x] = __ldcg(row.sums + first + threadIdx.x);
      __syncthreads();
      if (threadIdx.x == 0) take(first, count);
      __syncthreads();
    }
  };
  each_piece([&](int, int count) {
    for (int i = 0; i < count; ++i) total += shared[i];
  });
  if (threadIdx.x == 0) draw.sum = total;
  if (row.options.wants != DrawWants::id) return;
  left = row.options.uniform * total;
  if (threadIdx.x == 0) slice = -1;
  int last = -1;
  bool ended = false;
  each_piece([&](int first, int count) {
    if (ended) return;
    int last_here = -1;
    const int at = walk(shared, count, left, last_here);
    ended = at >= 0;
    if (last_here >= 0) last = first + last_here;
    slice = ended ? first + at : last;
  });
  if (threadIdx.x == 0 && !ended) left = INFINITY;
  const int drawn_in = slice;
  if (drawn_in < 0) {  // no id has a weight
    if (threadIdx.x == 0) draw.id = best;
    return;
  }
  const std::int32_t id = id_in_slice(row, drawn_in, left, shared);
  if (threadIdx.x == 0) draw.id = id;
}

// Each of the collected keys goes where as many candidates as are likelier come before it.
__device__ inline void finish_candidates(const RowWords& row, std::int32_t* collected, RowDraw& draw) {
  __shared__ Key keys[most_collected];
  const int count = __ldcg(collected);
  const bool fits = count <= most_collected;
  for (int i = static_cast<int>(threadIdx.x); fits && i < count; i += threads) keys[i] = __ldcg(row.collected + i);
  __syncthreads();
  if (threadIdx.x == 0) {
    *collected = 0;
    draw.count = fits ? min(count, most_candidates) : 0;
    draw.holds_all = fits && count <= most_candidates && __ldcg(row.least) == 0 ? 1 : 0;
  }
  if (!fits) return;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += threads) {
    const Key own = keys[i];
    int place = 0;
#pragma unroll 8
    for (int other = 0; other < count; ++other) place += keys[other] > own ? 1 : 0;
    if (place < most_candidates) draw.candidates[place] = {logit_of(own), id_of(own)};
  }
}

// Grid: (slices of a row, rows). `counters`: [rows] for blocks, `collected`: [rows] for keys, 0 before and after.
__global__ void __launch_bounds__(threads)
    draw_kernel(const float* logits, std::int64_t vocabulary, const DrawOptions* options, Key* keys, double* sums,
                std::int32_t* counters, std::int32_t* collected, const std::int32_t* ids, RowDraw* draws) {
  __shared__ bool is_last;
  let_next_begin();
  wait_for_previous();
  const int row = static_cast<int>(blockIdx.y);
  const int slice = static_cast<int>(blockIdx.x);
  const int slices = static_cast<int>(gridDim.x);
  const DrawWants wants = options[row].wants;
  if (wants == DrawWants::nothing) return;
  const float* from = logits + row * vocabulary;
  const DrawnRow drawn{from, vocabulary, from[ids[row]], options[row], sums + row * slices, slices};
  const RowWords words = words_of(keys, row);
  if (wants_candidates(wants)) {
    const Key least = max(*words.least, Key{1});
#pragma unroll
    for (int i = 0; i < thread_ids; ++i) {
      const int id = slice * slice_ids + i * threads + static_cast<int>(threadIdx.x);
      const Key key = id < vocabulary ? key_of(from[id], id) : 0;
      if (key < least) continue;
      const int at = atomicAdd(collected + row, 1);
      if (at < most_collected) words.collected[at] = key;
    }
  }
  if (wants_sums(wants)) {
    double weights[thread_ids];
    thread_weights(drawn, slice, weights);
    double sum = 0;
#pragma unroll
    for (const double weight : weights) sum += weight;
    sum = block_total(sum);
    if (threadIdx.x == 0) sums[row * slices + slice] = sum;
  }
  __syncthreads();
  if (threadIdx.x == 0) is_last = count_block(counters + row, slices);
  __syncthreads();
  if (!is_last) return;
  if (wants_candidates(wants)) finish_candidates(words, collected + row, draws[row]);
  if (wants_sums(wants)) finish_sums(drawn, ids[row], draws[row]);
}

}  // namespace

void launch_draw(const DrawArgs& args, const DrawScratch& scratch, cudaStream_t stream) {
  const int slices = blocks_for(args.vocabulary, slice_ids);
  for (std::int64_t first = 0; first < args.rows; first += draw_rows) {
    const std::int64_t rows = std::min(draw_rows, args.rows - first);
    const float* logits = args.logits + first * args.vocabulary;
    const DrawOptions* options = args.options + first;
    std::int32_t* ids = args.ids + first;
    launch_early("draw_search", draw_search_kernel, dim3(search_blocks, static_cast<unsigned>(rows)), threads, stream,
                 logits, args.vocabulary, options, scratch.keys, scratch.counters, ids);
    launch_early("draw", draw_kernel, dim3(static_cast<unsigned>(slices), static_cast<unsigned>(rows)), threads, stream,
                 logits, args.vocabulary, options, scratch.keys, scratch.sums, scratch.counters,
                 scratch.counters + rows, ids, args.draws + first);
  }
}

}  // namespace precis::cuda
