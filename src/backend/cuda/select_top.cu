// The largest scores of each run, as a list of entries in ascending order. Blocks of a cluster have a run, each a part
// of its entries and each warp a stretch of these. Three rounds of counting keys by 11, 11 and 10 of their bits find
// the last key that is chosen; a pass in order then writes what is above it, and of the equal ones the first.
//
// Blocks wait long for each other. After the first round few keys are left most often, those of one bin: all blocks get
// all of these and do the rest by themselves. Where they are many, blocks count together in the other rounds too.
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
// Keys of the first round's bin that all blocks get.
constexpr int most_gathered = 4096;
// Keys that a lane takes at once: 16 bytes. Parts of blocks and warps are so many for each lane.
constexpr int lane_keys = 4;
constexpr int warp_keys = lane_keys * warp_lanes;
// How often a warp loads so many before it looks at them.
constexpr int loads_at_once = 4;

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
  std::uint32_t gathered[most_gathered];  // the keys of the first round's bin: those of the first block first
  int above_gathered[most_top_blocks];    // of each block: keys above these
  // Of this block alone.
  int bin;          // where the last chosen key is
  int before;       // keys in bins above that one
  int in_bin;       // keys in that one
  int earlier;      // of these: in blocks before this one
  int pushed;       // of these: that this block has given to all
  int lower_above;  // of gathered ones of blocks before this one, as `above`
  int lower_equal;
  int warps[top_warps];
};

class Cluster {
 public:
  __device__ Cluster(int blocks, int rank) : blocks_(blocks), rank_(rank) {}

  __device__ int blocks() const { return blocks_; }
  __device__ int rank() const { return rank_; }  // of this block

  // All threads have come here, and what they wrote to shared memory is seen.
  __device__ void meet() const {
#if __CUDA_ARCH__ >= 900
    if (blocks_ > 1) return cooperative_groups::this_cluster().sync();
#endif
    __syncthreads();
  }
  __device__ TopShared& of(TopShared& own, int rank) const {
#if __CUDA_ARCH__ >= 900
    if (blocks_ > 1) return *cooperative_groups::this_cluster().map_shared_rank(&own, rank);
#endif
    return own;
  }

 private:
  int blocks_;
  int rank_;
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
__device__ inline void find_bin(TopShared& shared, const Cluster& cluster, int round, int wanted) {
  const int blocks = cluster.blocks();
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
  int earlier = 0;
#pragma unroll
  for (int rank = 0; rank < most_top_blocks; ++rank) {
    if (rank >= blocks) continue;
    const int of_block = cluster.of(shared, rank).counts[round][bin];
    count += of_block;
    if (rank < cluster.rank()) earlier += of_block;
  }
  int in_group = 0;
  const int of_bin = find_lane(count, wanted - before, in_group);
  if (lane_of() != of_bin) return;
  shared.bin = bin;
  shared.before = before + in_group;
  shared.in_bin = count;
  shared.earlier = earlier;
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

// Scores after proximity as a warp loads them: four neighbours a lane.
struct LaneScores {
  // `index`: of the first one.
  __device__ void load(const TopArgs& args, const float* scores, int index, int middle) {
    four = make_float4(-INFINITY, -INFINITY, -INFINITY, -INFINITY);
    side = -INFINITY;
    if (index < middle) four = *reinterpret_cast<const float4*>(scores + index);
    if (args.proximity == 0) return;
    if (lane_of() == 0 && index > 0 && index <= middle) side = scores[index - 1];
    if (lane_of() == warp_lanes - 1 && index + lane_keys < middle) side = scores[index + lane_keys];
  }

  __device__ void spread(const TopArgs& args, const float* scores, int index, int middle,
                         float (&of)[lane_keys]) const {
    const float own[] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (int i = 0; i < lane_keys; ++i) of[i] = index + i < middle ? own[i] : -INFINITY;
    if (args.proximity == 0) return;
    if (args.proximity > 1) {
#pragma unroll
      for (int i = 0; i < lane_keys; ++i) {
        if (index + i < middle) of[i] = spread_at(args, scores, index + i, middle);
      }
      return;
    }
    // Most often.
    float left = __shfl_up_sync(all_lanes, of[lane_keys - 1], 1);
    float right = __shfl_down_sync(all_lanes, of[0], 1);
    if (lane_of() == 0) left = side;
    if (lane_of() == warp_lanes - 1) right = side;
#pragma unroll
    for (int i = 0; i < lane_keys; ++i) {
      const float after = i + 1 < lane_keys ? of[i + 1] : right;
      const float most = fmaxf(fmaxf(left, of[i]), after);
      left = of[i];
      of[i] = most;
    }
  }

  float4 four;
  float side;  // the first lane's left neighbour, the last lane's right one
};

// The keys of a warp's entries, counted for the first round. `first`: the block's first entry.
__device__ inline void make_keys(const TopArgs& args, const float* scores, int first, int middle, const Part& own,
                                 std::uint32_t* keys, int (&counts)[bins]) {
  for (int begin = own.begin; begin < own.end; begin += loads_at_once * warp_keys) {
    LaneScores loaded[loads_at_once];
#pragma unroll
    for (int load = 0; load < loads_at_once; ++load) {
      const int at = begin + load * warp_keys + lane_keys * lane_of();
      loaded[load].load(args, scores, first + at, middle);
    }
#pragma unroll
    for (int load = 0; load < loads_at_once; ++load) {
      const int at = begin + load * warp_keys + lane_keys * lane_of();
      float of[lane_keys];
      loaded[load].spread(args, scores, first + at, middle, of);
      if (at >= own.end) continue;
      const uint4 four = make_uint4(order_of(of[0]), order_of(of[1]), order_of(of[2]), order_of(of[3]));
      *reinterpret_cast<uint4*>(keys + at) = four;
      const std::uint32_t key[] = {four.x, four.y, four.z, four.w};
#pragma unroll
      for (int i = 0; i < lane_keys; ++i) {
        if (at + i < own.end) atomicAdd(&counts[bits_of(key[i], 0)], 1);
      }
    }
  }
}

// Four keys of a lane. Those past the end are 0: less than any key, with first bits that no key has.
struct LaneKeys {
  __device__ LaneKeys(const std::uint32_t* keys, int at, int end) {
    uint4 four = make_uint4(0, 0, 0, 0);
    if (at < end) four = *reinterpret_cast<const uint4*>(keys + at);
    of[0] = four.x;
    of[1] = at + 1 < end ? four.y : 0;
    of[2] = at + 2 < end ? four.z : 0;
    of[3] = at + 3 < end ? four.w : 0;
  }

  std::uint32_t of[lane_keys];
};

// Calls each(key) for a warp's keys, and for numbers 0.
template <typename Each>
__device__ inline void for_keys(const std::uint32_t* keys, const Part& own, const Each& each) {
#pragma unroll 2
  for (int at = own.begin + lane_keys * lane_of(); at < own.end; at += warp_keys) {
    const LaneKeys four(keys, at, own.end);
#pragma unroll
    for (const std::uint32_t key : four.of) each(key);
  }
}

// The key of the last entry that is chosen, or its first bits, and how many of those that begin so are chosen.
struct Threshold {
  std::uint32_t key;
  int equal;
};

// Finds its next bits, when all of the block's keys are counted.
__device__ inline void find_bits(TopShared& shared, const Cluster& cluster, int round, Threshold& least) {
  add_groups(shared, round);
  cluster.meet();
  if (warp_of() == 0) find_bin(shared, cluster, round, least.equal);
  __syncthreads();
  least.equal -= shared.before;
  least.key = least.key << (round == 2 ? 10 : 11) | static_cast<std::uint32_t>(shared.bin);
}

__device__ inline void count_bits(TopShared& shared, std::uint32_t key, int round, std::uint32_t first_bits) {
  if (key >> (round == 1 ? 21 : 10) == first_bits) atomicAdd(&shared.counts[round][bits_of(key, round)], 1);
}

// Keys above the last one that is chosen, and equal ones.
struct Counts {
  int above = 0;
  int equal = 0;
};

__device__ inline Counts count_keys(const std::uint32_t* keys, const Part& own, std::uint32_t least) {
  Counts counts;
  for_keys(keys, own, [&](std::uint32_t key) {
    counts.above += static_cast<int>(key > least);
    counts.equal += static_cast<int>(key == least);
  });
  return {__reduce_add_sync(all_lanes, counts.above), __reduce_add_sync(all_lanes, counts.equal)};
}

// Gives the keys of the first round's bin to all blocks, from place `first` on.
__device__ inline void gather(TopShared& shared, const Cluster& cluster, const std::uint32_t* keys, const Part& own,
                              std::uint32_t bin, int first) {
  int above = 0;
  for_keys(keys, own, [&](std::uint32_t key) {
    above += static_cast<int>(key >> 21 > bin);
    if (key >> 21 != bin) return;
    const int place = first + atomicAdd(&shared.pushed, 1);
    for (int rank = 0; rank < cluster.blocks(); ++rank) cluster.of(shared, rank).gathered[place] = key;
  });
  above = __reduce_add_sync(all_lanes, above);
  if (lane_of() < cluster.blocks()) {
    atomicAdd(&cluster.of(shared, lane_of()).above_gathered[cluster.rank()], above);
  }
  cluster.meet();
}

// The rest of the search, by this block alone, among `count` gathered keys. What blocks before this one have, of which
// the first `earlier` are.
__device__ inline Counts search_gathered(TopShared& shared, int rank, int count, int earlier, Threshold& least) {
  const Cluster alone(1, 0);
  const auto for_gathered = [&](int end, const auto& each) {
    for (int i = static_cast<int>(threadIdx.x); i < end; i += top_threads) each(shared.gathered[i]);
  };
#pragma unroll
  for (int round = 1; round < rounds; ++round) {
    for_gathered(count, [&](std::uint32_t key) { count_bits(shared, key, round, least.key); });
    find_bits(shared, alone, round, least);
  }
  Counts lower;
  for_gathered(earlier, [&](std::uint32_t key) {
    lower.above += static_cast<int>(key > least.key);
    lower.equal += static_cast<int>(key == least.key);
  });
  lower = {__reduce_add_sync(all_lanes, lower.above), __reduce_add_sync(all_lanes, lower.equal)};
  if (lane_of() == 0) {
    atomicAdd(&shared.lower_above, lower.above);
    atomicAdd(&shared.lower_equal, lower.equal);
  }
  __syncthreads();
  Counts before{shared.lower_above, shared.lower_equal};
  for (int other = 0; other < rank; ++other) before.above += shared.above_gathered[other];
  return before;
}

// Of all warps of this block before this one. Called by all threads, with what their warps have.
__device__ inline Counts of_warps_before(TopShared& shared, const Counts& own) {
  Counts before{sum_of_warps(own.above, shared.warps), 0};
  __syncthreads();  // the sums are taken
  before.equal = sum_of_warps(own.equal, shared.warps);
  return before;
}

// The same of all blocks before this one, where blocks have searched together. `before`: of_warps_before().
__device__ inline Counts of_blocks_before(TopShared& shared, const Cluster& cluster, const Counts& own,
                                          const Counts& before) {
  if (static_cast<int>(threadIdx.x) == top_threads - 1) {
    shared.above = before.above + own.above;
    shared.equal = before.equal + own.equal;
  }
  cluster.meet();
  Counts all;
#pragma unroll
  for (int other = 0; other < most_top_blocks; ++other) {
    if (other >= cluster.rank()) continue;
    all.above += cluster.of(shared, other).above;
    all.equal += cluster.of(shared, other).equal;
  }
  return all;
}

// Writes what is chosen of a warp's keys. `first`: the block's first entry; `before`: in front of these.
__device__ inline void write_chosen(std::int32_t* list, int first, const std::uint32_t* keys, const Part& own,
                                    const Threshold& least, Counts before) {
#pragma unroll 2
  for (int begin = own.begin; begin < own.end; begin += warp_keys) {
    const int at = begin + lane_keys * lane_of();
    const LaneKeys four(keys, at, own.end);
    // Above in the lower half, equal in the upper one.
    int counts = 0;
#pragma unroll
    for (const std::uint32_t key : four.of)
      counts += static_cast<int>(key > least.key) + (key == least.key ? 1 << 16 : 0);
    if (!__any_sync(all_lanes, counts != 0)) continue;
    const int up_to = sum_of_lanes(counts);
    int above = before.above + ((up_to - counts) & 0xffff);
    int equal = before.equal + ((up_to - counts) >> 16);
#pragma unroll
    for (int i = 0; i < lane_keys; ++i) {
      const bool is_above = four.of[i] > least.key;
      const bool is_equal = four.of[i] == least.key;
      if (is_above || (is_equal && equal < least.equal)) list[above + min(equal, least.equal)] = first + at + i;
      above += static_cast<int>(is_above);
      equal += static_cast<int>(is_equal);
    }
    const int all = __shfl_sync(all_lanes, up_to, warp_lanes - 1);
    before.above += all & 0xffff;
    before.equal += all >> 16;
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

__device__ inline void clear(TopShared& shared) {
  for (int i = static_cast<int>(threadIdx.x); i < rounds * bins; i += top_threads) (&shared.counts[0][0])[i] = 0;
  if (static_cast<int>(threadIdx.x) < most_top_blocks) shared.above_gathered[threadIdx.x] = 0;
  if (threadIdx.x == 0) {
    shared.pushed = 0;
    shared.lower_above = 0;
    shared.lower_equal = 0;
  }
  __syncthreads();
}

// Grid: (blocks of a run, runs). `in_shared`: there is room for the keys in shared memory.
template <bool in_shared>
__global__ void __launch_bounds__(top_threads) top_kernel(const __grid_constant__ TopArgs args) {
  extern __shared__ __align__(16) std::uint32_t shared_keys[];
  __shared__ TopShared shared;
  const int rank = static_cast<int>(blockIdx.x);
  const Cluster cluster(args.blocks, rank);
  clear(shared);
  wait_for_previous();
  let_next_begin();  // not before: attention may count on that all before this kernel has ended (SplitArgs::is_placed)
  const PickRun run = args.runs[blockIdx.y];
  const int middle = middle_of(run);
  const Part part = Part{0, middle}.cut(rank, args.blocks, warp_keys);
  const Part own = Part{0, part.size()}.cut(warp_of(), top_warps, warp_keys);
  const float* scores = args.scratch.scores + blockIdx.y * args.scratch.stride;
  std::uint32_t* keys = in_shared ? shared_keys : args.scratch.keys + blockIdx.y * args.scratch.stride + part.begin;
  make_keys(args, scores, part.begin, middle, own, keys, shared.counts[0]);
  Threshold least{0, run.top};
  find_bits(shared, cluster, 0, least);
  const int in_bin = shared.in_bin;
  const int earlier = shared.earlier;
  const bool few = in_bin <= most_gathered;
  Counts before;
  if (few) {
    gather(shared, cluster, keys, own, least.key, earlier);
    before = search_gathered(shared, rank, in_bin, earlier, least);
  } else {
#pragma unroll
    for (int round = 1; round < rounds; ++round) {
      for_keys(keys, own, [&](std::uint32_t key) { count_bits(shared, key, round, least.key); });
      find_bits(shared, cluster, round, least);
    }
  }
  const Counts counts = count_keys(keys, own, least.key);
  const Counts in_block = of_warps_before(shared, counts);
  if (!few) before = of_blocks_before(shared, cluster, counts, in_block);
  before.above += in_block.above;
  before.equal += in_block.equal;
  std::int32_t* list = args.list + static_cast<std::int64_t>(run.first_page) * args.page_entries + run.initial;
  write_chosen(list, run.initial + part.begin, keys, own, least, before);
  write_ends(args, run, rank);
  if (!few) cluster.meet();  // others may still read this block's
}

}  // namespace

void launch_top(const SelectArgs& args, const SelectScratch& scratch, int blocks, cudaStream_t stream) {
  // Parts are of what warps take at once.
  const std::int64_t keys = (scratch.stride + blocks - 1) / blocks + warp_keys;
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
