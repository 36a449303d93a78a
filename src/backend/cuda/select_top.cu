// The largest scores of each run, as a list of entries in ascending order. Blocks of a cluster have a run, each a part
// of its entries. Three rounds of counting keys by 11, 11 and 10 of their bits find the last key that is chosen; a pass
// in order then writes what is above it, and of the equal ones the first.
#include <cooperative_groups.h>

#include <algorithm>

#include "backend/cuda/check.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/select.h"
#include "backend/cuda/select_view.cuh"

namespace precis::cuda {
namespace {

constexpr int top_warps = 32;
constexpr int top_threads = top_warps * warp_lanes;
constexpr int bins = 2048;
constexpr int rounds = 3;
constexpr int bins_each = bins / top_threads;
// Keys of a block that lie in shared memory.
constexpr std::int64_t most_shared_keys = 40 << 10;

struct TopArgs {
  const PickRun* runs;
  SelectScratch scratch;
  std::int32_t* list;
  int page_entries;
  int proximity;
  int blocks;  // of a run
  int shared_keys;
};

// What blocks of a run tell each other.
struct TopShared {
  int counts[rounds][bins];
  int above;  // the block's keys above the last one that is chosen
  int equal;
  // Of this block alone.
  int bin;     // where the last chosen key is
  int before;  // keys in bins above that one
  int warps[2][top_warps];
};

class Cluster {
 public:
  __device__ explicit Cluster(int blocks) : blocks_(blocks) {}

  // All threads have come here, and what they wrote to shared memory is seen.
  __device__ void meet() const {
#if __CUDA_ARCH__ >= 900
    if (blocks_ > 1) return cooperative_groups::this_cluster().sync();
#endif
    __syncthreads();
  }
  __device__ const TopShared& of(TopShared& own, int rank) const {
#if __CUDA_ARCH__ >= 900
    if (blocks_ > 1) return *cooperative_groups::this_cluster().map_shared_rank(&own, rank);
#endif
    return own;
  }

 private:
  int blocks_;
};

__device__ inline int lane_of() {
  return static_cast<int>(threadIdx.x) % warp_lanes;
}
__device__ inline int warp_of() {
  return static_cast<int>(threadIdx.x) / warp_lanes;
}

// The sum of all values of threads before this one. `warps`: memory that nobody reads; called by all threads.
__device__ inline int sum_before(int value, int (&warps)[top_warps]) {
  int sum = value;
#pragma unroll
  for (int distance = 1; distance < warp_lanes; distance *= 2) {
    const int other = __shfl_up_sync(all_lanes, sum, distance);
    if (lane_of() >= distance) sum += other;
  }
  if (lane_of() == warp_lanes - 1) warps[warp_of()] = sum;
  __syncthreads();
  int before = 0;
  for (int warp = 0; warp < warp_of(); ++warp) before += warps[warp];
  return before + sum - value;
}

// Where the `wanted` largest keys end, by the counts of all blocks in one round: the bin, and how many lie above it.
__device__ inline void find_bin(TopShared& shared, const Cluster& cluster, int blocks, int round, int wanted) {
  int count[bins_each] = {};
  int sum = 0;
  // The first threads have the largest bins.
  const int first = bins - (static_cast<int>(threadIdx.x) + 1) * bins_each;
  for (int rank = 0; rank < blocks; ++rank) {
    const auto& counts = cluster.of(shared, rank).counts[round];
#pragma unroll
    for (int i = 0; i < bins_each; ++i) count[i] += counts[first + i];
  }
#pragma unroll
  for (const int of_bin : count) sum += of_bin;
  int before = sum_before(sum, shared.warps[0]);
  if (before < wanted && wanted <= before + sum) {
#pragma unroll
    for (int i = bins_each - 1; i >= 0; --i) {
      if (before < wanted && wanted <= before + count[i]) {
        shared.bin = first + i;
        shared.before = before;
      }
      before += count[i];
    }
  }
  __syncthreads();
}

__device__ inline int bits_of(std::uint32_t key, int round) {
  return static_cast<int>(round == 0 ? key >> 21 : round == 1 ? key >> 10 & 2047U : key & 1023U);
}

// The part of a run's keys that a block has.
struct Part {
  __device__ Part(int middle, int rank, int blocks) {
    const int each = (middle + blocks - 1) / blocks;
    begin = min(rank * each, middle);
    end = min(begin + each, middle);
  }
  __device__ int size() const { return end - begin; }

  int begin;
  int end;
};

__device__ inline std::uint32_t key_at(const TopArgs& args, const float* scores, int index, int middle) {
  float most = -INFINITY;
  const int last = min(index + args.proximity, middle - 1);
  for (int i = max(index - args.proximity, 0); i <= last; ++i) most = fmaxf(most, scores[i]);
  return order_of(most);
}

// The key of the last entry that is chosen, and how many with that key are.
struct Threshold {
  std::uint32_t key;
  int equal;
};

__device__ Threshold find_threshold(TopShared& shared, const Cluster& cluster, int blocks, const std::uint32_t* keys,
                                    int count, int top) {
  int wanted = top;
  std::uint32_t prefix = 0;
#pragma unroll
  for (int round = 0; round < rounds; ++round) {
    if (round > 0) {
      const int shift = round == 1 ? 21 : 10;
      for (int i = static_cast<int>(threadIdx.x); i < count; i += top_threads) {
        const std::uint32_t key = keys[i];
        if (key >> shift == prefix) atomicAdd(&shared.counts[round][bits_of(key, round)], 1);
      }
    }
    cluster.meet();
    find_bin(shared, cluster, blocks, round, wanted);
    wanted -= shared.before;
    prefix = prefix << (round == 2 ? 10 : 11) | static_cast<std::uint32_t>(shared.bin);
    __syncthreads();  // before the next round writes what this one found
  }
  return {prefix, wanted};
}

// Writes what is chosen of a block's keys, of which `above` and `equal` are chosen or equal before it.
__device__ void write_chosen(const TopArgs& args, const PickRun& run, TopShared& shared, const std::uint32_t* keys,
                             const Part& part, const Threshold& least, int above, int equal) {
  std::int32_t* list = args.list + static_cast<std::int64_t>(run.first_page) * args.page_entries + run.initial;
  for (int first = 0; first < part.size(); first += top_threads) {
    const int index = first + static_cast<int>(threadIdx.x);
    const std::uint32_t key = index < part.size() ? keys[index] : 0;
    const bool is_above = index < part.size() && key > least.key;
    const bool is_equal = index < part.size() && key == least.key;
    // Both in one: fewer than 2^16 a time.
    const int packed = static_cast<int>(is_above) << 16 | static_cast<int>(is_equal);
    const int turn = first / top_threads % 2;
    const int before = sum_before(packed, shared.warps[turn]);
    const int equal_before = equal + (before & 0xffff);
    if (is_above || (is_equal && equal_before < least.equal)) {
      list[above + (before >> 16) + min(equal_before, least.equal)] = run.initial + part.begin + index;
    }
    int all = 0;
    for (const int of_warp : shared.warps[turn]) all += of_warp;
    above += all >> 16;
    equal += all & 0xffff;
  }
}

// What is picked without being chosen.
__device__ void write_ends(const TopArgs& args, const PickRun& run, int rank) {
  std::int32_t* list = args.list + static_cast<std::int64_t>(run.first_page) * args.page_entries;
  const int first = rank * top_threads + static_cast<int>(threadIdx.x);
  const int step = args.blocks * top_threads;
  for (int i = first; i < run.initial; i += step) list[i] = i;
  for (int i = first; i < run.end - run.local; i += step) list[chosen_of(run) + i] = run.local + i;
}

// Grid: (blocks of a run, runs).
__global__ void __launch_bounds__(top_threads) top_kernel(const __grid_constant__ TopArgs args) {
  extern __shared__ std::uint32_t shared_keys[];
  __shared__ TopShared shared;
  let_next_begin();
  const int rank = static_cast<int>(blockIdx.x);
  const Cluster cluster(args.blocks);
  for (int i = static_cast<int>(threadIdx.x); i < rounds * bins; i += top_threads) (&shared.counts[0][0])[i] = 0;
  if (threadIdx.x == 0) shared.above = shared.equal = 0;
  __syncthreads();
  wait_for_previous();
  const PickRun run = args.runs[blockIdx.y];
  write_ends(args, run, rank);
  const int middle = middle_of(run);
  const Part part(middle, rank, args.blocks);
  const float* scores = args.scratch.scores + blockIdx.y * args.scratch.stride;
  std::uint32_t* keys =
      args.shared_keys > 0 ? shared_keys : args.scratch.keys + blockIdx.y * args.scratch.stride + part.begin;
  for (int i = static_cast<int>(threadIdx.x); i < part.size(); i += top_threads) {
    const std::uint32_t key = key_at(args, scores, part.begin + i, middle);
    keys[i] = key;
    atomicAdd(&shared.counts[0][bits_of(key, 0)], 1);
  }
  const Threshold least = find_threshold(shared, cluster, args.blocks, keys, part.size(), run.top);
  int above = 0;
  int equal = 0;
  for (int i = static_cast<int>(threadIdx.x); i < part.size(); i += top_threads) {
    above += static_cast<int>(keys[i] > least.key);
    equal += static_cast<int>(keys[i] == least.key);
  }
  above = __reduce_add_sync(all_lanes, above);
  equal = __reduce_add_sync(all_lanes, equal);
  if (lane_of() == 0) {
    atomicAdd(&shared.above, above);
    atomicAdd(&shared.equal, equal);
  }
  cluster.meet();
  above = equal = 0;
  for (int other = 0; other < rank; ++other) {
    above += cluster.of(shared, other).above;
    equal += cluster.of(shared, other).equal;
  }
  write_chosen(args, run, shared, keys, part, least, above, equal);
  cluster.meet();  // others may still read this block's
}

}  // namespace

void launch_top(const SelectArgs& args, const SelectScratch& scratch, int blocks, cudaStream_t stream) {
  const std::int64_t keys = (scratch.stride + blocks - 1) / blocks;
  const bool in_shared = keys <= most_shared_keys;
  const TopArgs top{args.device_runs,
                    scratch,
                    args.list,
                    static_cast<int>(args.kv.page_entries),
                    static_cast<int>(args.proximity),
                    blocks,
                    in_shared ? static_cast<int>(keys) : 0};
  const int bytes = top.shared_keys * static_cast<int>(sizeof(std::uint32_t));
  check(cudaFuncSetAttribute(top_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "cudaFuncSetAttribute");
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(args.runs.size()));
  launch_early("select", top_kernel, LaunchShape{grid, top_threads, bytes, blocks}, stream, top);
}

}  // namespace precis::cuda
