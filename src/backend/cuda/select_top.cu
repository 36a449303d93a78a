// The largest scores of each run, as a list of entries in ascending order. Blocks of a cluster have a run, each a part
// of its entries and each warp a stretch of these. Three rounds of counting keys by 11, 11 and 10 of their bits find
// the last key that is chosen; a pass in order then writes what is above it, and of the equal ones the first.
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
// Bins are added up 32 at a time: a block reads few of what others counted, as their memory is slow to read.
constexpr int bin_groups = bins / warp_lanes;
constexpr int groups_a_lane = bin_groups / warp_lanes;
// Keys of a block that lie in shared memory.
constexpr std::int64_t most_shared_keys = 40 << 10;

struct TopArgs {
  const PickRun* runs;
  SelectScratch scratch;
  std::int32_t* list;
  int page_entries;
  int proximity;
  int blocks;  // of a run
};

// What blocks of a run tell each other.
struct TopShared {
  int counts[rounds][bins];
  int groups[rounds][bin_groups];  // sums of these
  int above;                       // the block's keys above the last one that is chosen
  int equal;
  // Of this block alone.
  int bin;     // where the last chosen key is
  int before;  // keys in bins above that one
  int warps[top_warps];
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

// The sum of the values of lanes up to this one.
__device__ inline int sum_of_lanes(int value) {
#pragma unroll
  for (int distance = 1; distance < warp_lanes; distance *= 2) {
    const int other = __shfl_up_sync(all_lanes, value, distance);
    if (lane_of() >= distance) value += other;
  }
  return value;
}

// The sum of the values of warps before this one. `warps`: memory that nobody reads; called by all threads, with the
// same value by all lanes of a warp.
__device__ inline int sum_of_warps(int value, int (&warps)[top_warps]) {
  if (lane_of() == 0) warps[warp_of()] = value;
  __syncthreads();
  const int other = warps[lane_of()];
  return __reduce_add_sync(all_lanes, lane_of() < warp_of() ? other : 0);
}

// Of a round's counts, when all of the block's are there.
__device__ inline void add_groups(TopShared& shared, int round) {
  __syncthreads();
  for (int group = warp_of(); group < bin_groups; group += top_warps) {
    const int sum = __reduce_add_sync(all_lanes, shared.counts[round][group * warp_lanes + lane_of()]);
    if (lane_of() == 0) shared.groups[round][group] = sum;
  }
}

// Of numbers that lanes have, those of the first lane before those of the second, and so on: the lane in which their
// sum gets to `wanted`, and the sum before it.
__device__ inline int find_lane(int value, int wanted, int& before) {
  const int up_to = sum_of_lanes(value);
  const unsigned there = __ballot_sync(all_lanes, up_to >= wanted);
  const int lane = __ffs(static_cast<int>(there)) - 1;
  before = __shfl_sync(all_lanes, up_to - value, lane);
  return lane;
}

// Where the `wanted` largest keys end, by the counts of all blocks in one round: the bin, and how many lie above it.
// Called by one warp.
__device__ inline void find_bin(TopShared& shared, const Cluster& cluster, int blocks, int round, int wanted) {
  // The first lanes have the largest bins.
  const int first = bin_groups - (lane_of() + 1) * groups_a_lane;
  int groups[groups_a_lane] = {};
#pragma unroll
  for (int rank = 0; rank < most_top_blocks; ++rank) {
    if (rank >= blocks) continue;
    const auto& of_block = cluster.of(shared, rank).groups[round];
#pragma unroll
    for (int i = 0; i < groups_a_lane; ++i) groups[i] += of_block[first + i];
  }
  static_assert(groups_a_lane == 2);
  int before = 0;
  const int lane = find_lane(groups[0] + groups[1], wanted, before);
  const int high = __shfl_sync(all_lanes, groups[1], lane);
  const bool in_high = before + high >= wanted;
  if (!in_high) before += high;
  const int group = bin_groups - (lane + 1) * groups_a_lane + static_cast<int>(in_high);
  const int bin = group * warp_lanes + warp_lanes - 1 - lane_of();
  int count = 0;
#pragma unroll
  for (int rank = 0; rank < most_top_blocks; ++rank) {
    if (rank < blocks) count += cluster.of(shared, rank).counts[round][bin];
  }
  int in_group = 0;
  const int of_bin = find_lane(count, wanted - before, in_group);
  if (lane_of() != of_bin) return;
  shared.bin = bin;
  shared.before = before + in_group;
}

__device__ inline int bits_of(std::uint32_t key, int round) {
  return static_cast<int>(round == 0 ? key >> 21 : round == 1 ? key >> 10 & 2047U : key & 1023U);
}

// Some of a run's entries, counted from `initial` on.
struct Part {
  int begin;
  int end;

  __device__ int size() const { return end - begin; }
  // One of `parts` parts, each of whole `unit` entries but for the last ones.
  __device__ Part cut(int index, int parts, int unit) const {
    const int each = ((size() + parts - 1) / parts + unit - 1) / unit * unit;
    const int from = min(begin + index * each, end);
    return {from, min(from + each, end)};
  }
};

// F of an entry after proximity.
__device__ inline float spread_at(const TopArgs& args, const float* scores, int index, int middle) {
  float most = scores[index];
  // Most often 1.
  if (args.proximity > 0) {
    most = fmaxf(most, fmaxf(scores[max(index - 1, 0)], scores[min(index + 1, middle - 1)]));
  }
  for (int further = 2; further <= args.proximity; ++further) {
    most = fmaxf(most, fmaxf(scores[max(index - further, 0)], scores[min(index + further, middle - 1)]));
  }
  return most;
}

// Calls each(i) for a warp's entries, one a lane, some of them at once.
template <typename Each>
__device__ inline void for_lanes(const Part& own, const Each& each) {
#pragma unroll 8
  for (int i = own.begin + lane_of(); i < own.end; i += warp_lanes) each(i);
}

// The key of the last entry that is chosen, and how many with that key are.
struct Threshold {
  std::uint32_t key;
  int equal;
};

// `keys`: of the block's entries, of which this warp has `own`, counted from the block's first one.
__device__ Threshold find_threshold(TopShared& shared, const Cluster& cluster, int blocks, const std::uint32_t* keys,
                                    const Part& own, int top) {
  int wanted = top;
  std::uint32_t prefix = 0;
#pragma unroll
  for (int round = 0; round < rounds; ++round) {
    if (round > 0) {
      const int shift = round == 1 ? 21 : 10;
      for_lanes(own, [&](int i) {
        const std::uint32_t key = keys[i];
        if (key >> shift == prefix) atomicAdd(&shared.counts[round][bits_of(key, round)], 1);
      });
    }
    add_groups(shared, round);
    cluster.meet();
    if (warp_of() == 0) find_bin(shared, cluster, blocks, round, wanted);
    __syncthreads();
    wanted -= shared.before;
    prefix = prefix << (round == 2 ? 10 : 11) | static_cast<std::uint32_t>(shared.bin);
  }
  return {prefix, wanted};
}

// Keys above the last one that is chosen, and equal ones.
struct Counts {
  int above = 0;
  int equal = 0;
};

__device__ inline Counts count_keys(const std::uint32_t* keys, const Part& own, std::uint32_t least) {
  Counts counts;
  for_lanes(own, [&](int i) {
    const std::uint32_t key = keys[i];
    counts.above += static_cast<int>(key > least);
    counts.equal += static_cast<int>(key == least);
  });
  return {__reduce_add_sync(all_lanes, counts.above), __reduce_add_sync(all_lanes, counts.equal)};
}

// Of all warps and blocks before this one. Called by all threads, with what their warps have.
__device__ inline Counts counts_before(TopShared& shared, const Cluster& cluster, int rank, const Counts& own) {
  Counts before{sum_of_warps(own.above, shared.warps), 0};
  __syncthreads();  // the sums are taken
  before.equal = sum_of_warps(own.equal, shared.warps);
  if (static_cast<int>(threadIdx.x) == top_threads - 1) {
    shared.above = before.above + own.above;
    shared.equal = before.equal + own.equal;
  }
  cluster.meet();
#pragma unroll
  for (int other = 0; other < most_top_blocks; ++other) {
    if (other >= rank) continue;
    before.above += cluster.of(shared, other).above;
    before.equal += cluster.of(shared, other).equal;
  }
  return before;
}

// Writes what is chosen of a warp's keys. `first`: the block's first entry.
__device__ inline void write_chosen(std::int32_t* list, int first, const std::uint32_t* keys, const Part& own,
                                    const Threshold& least, Counts before) {
  const unsigned lanes_before = (1U << lane_of()) - 1;
#pragma unroll 4
  for (int begin = own.begin; begin < own.end; begin += warp_lanes) {
    const int index = begin + lane_of();
    const std::uint32_t key = index < own.end ? keys[index] : 0;
    const bool is_above = index < own.end && key > least.key;
    const bool is_equal = index < own.end && key == least.key;
    const unsigned above = __ballot_sync(all_lanes, is_above);
    const unsigned equal = __ballot_sync(all_lanes, is_equal);
    const int equal_before = before.equal + __popc(equal & lanes_before);
    if (is_above || (is_equal && equal_before < least.equal)) {
      list[before.above + __popc(above & lanes_before) + min(equal_before, least.equal)] = first + index;
    }
    before.above += __popc(above);
    before.equal += __popc(equal);
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

// Grid: (blocks of a run, runs). `in_shared`: there is room for the keys in shared memory.
template <bool in_shared>
__global__ void __launch_bounds__(top_threads) top_kernel(const __grid_constant__ TopArgs args) {
  extern __shared__ std::uint32_t shared_keys[];
  __shared__ TopShared shared;
  const int rank = static_cast<int>(blockIdx.x);
  const Cluster cluster(args.blocks);
  for (int i = static_cast<int>(threadIdx.x); i < rounds * bins; i += top_threads) (&shared.counts[0][0])[i] = 0;
  __syncthreads();
  wait_for_previous();
  let_next_begin();  // not before: attention may count on that all before this kernel has ended (SplitArgs::is_placed)
  const PickRun run = args.runs[blockIdx.y];
  write_ends(args, run, rank);
  const int middle = middle_of(run);
  const Part part = Part{0, middle}.cut(rank, args.blocks, warp_lanes);
  const Part own = Part{0, part.size()}.cut(warp_of(), top_warps, warp_lanes);
  const float* scores = args.scratch.scores + blockIdx.y * args.scratch.stride;
  std::uint32_t* keys = in_shared ? shared_keys : args.scratch.keys + blockIdx.y * args.scratch.stride + part.begin;
  for_lanes(own, [&](int i) { keys[i] = order_of(spread_at(args, scores, part.begin + i, middle)); });
  for_lanes(own, [&](int i) { atomicAdd(&shared.counts[0][bits_of(keys[i], 0)], 1); });
  const Threshold least = find_threshold(shared, cluster, args.blocks, keys, own, run.top);
  const Counts before = counts_before(shared, cluster, rank, count_keys(keys, own, least.key));
  std::int32_t* list = args.list + static_cast<std::int64_t>(run.first_page) * args.page_entries + run.initial;
  write_chosen(list, run.initial + part.begin, keys, own, least, before);
  cluster.meet();  // others may still read this block's
}

}  // namespace

void launch_top(const SelectArgs& args, const SelectScratch& scratch, int blocks, cudaStream_t stream) {
  // Parts are whole warps' entries.
  const std::int64_t keys = (scratch.stride + blocks - 1) / blocks + warp_lanes;
  const bool in_shared = keys <= most_shared_keys;
  const TopArgs top{args.device_runs,
                    scratch,
                    args.list,
                    static_cast<int>(args.kv.page_entries),
                    static_cast<int>(args.proximity),
                    blocks};
  const int bytes = in_shared ? static_cast<int>(keys) * static_cast<int>(sizeof(std::uint32_t)) : 0;
  const auto kernel = in_shared ? top_kernel<true> : top_kernel<false>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "cudaFuncSetAttribute");
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(args.runs.size()));
  launch_early("select", kernel, LaunchShape{grid, top_threads, bytes, blocks}, stream, top);
}

}  // namespace precis::cuda
