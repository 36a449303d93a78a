// What a block of the kernels of tiles computes: 128 queries, which are some rows of a run times the query heads of one
// KV head, and the blocks of entries that it goes through for them, summaries before text. Blocks that no row sees are
// skipped, and of the others it is known which entries some row sees: nothing else may be read.
#pragma once

#include <climits>

#include "backend/cuda/attention_view.cuh"
#include "backend/cuda/numbers.cuh"

namespace precis::cuda {

// A score below all that there are, of a row that has seen nothing yet. Not infinite: differences stay numbers.
constexpr float no_score = -1e30F;

// The rows of a tile.
struct Tile {
  RowRun run;
  int first_row;  // of the call
  int rows;
};

// The last tiles, which see most, come first.
__device__ inline Tile tile_of(const TileArgs& args, int group) {
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

__device__ inline Bounds bounds_in(const RowBounds& row, bool summary) {
  return summary ? row.summary : row.text;
}

// What the rows of a tile see of one track.
struct TrackSight {
  int low;  // entries that some row sees lie in [low, high)
  int high;
  int all_low;  // entries in [all_low, all_high) are seen by all rows
  int all_high;
};

// Called by whole warps, each of which finds the same.
__device__ inline TrackSight sight_of(const RowBounds* rows, int count, bool summary) {
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

// A bit for each entry of a block.
template <int entries>
struct EntryBits {
  static constexpr int count = entries / 32;
  std::uint32_t words[count];

  __device__ void set_all() {
#pragma unroll
    for (int i = 0; i < count; ++i) words[i] = ~0U;
  }
  // Those of [low, high), which are counted from the block's first one.
  __device__ void add(int low, int high) {
#pragma unroll
    for (int i = 0; i < count; ++i) {
      const int from = min(max(low - 32 * i, 0), 32);
      const int to = min(max(high - 32 * i, 0), 32);
      if (from < to) words[i] |= (~0U << from) & (~0U >> (32 - to));
    }
  }
  // Called by whole warps.
  __device__ void merge_lanes() {
#pragma unroll
    for (int i = 0; i < count; ++i) words[i] = __reduce_or_sync(all_lanes, words[i]);
  }
  __device__ bool any() const {
    std::uint32_t bits = 0;
#pragma unroll
    for (int i = 0; i < count; ++i) bits |= words[i];
    return bits != 0;
  }
  __device__ bool has(int entry) const {
    std::uint32_t word = words[0];
#pragma unroll
    for (int i = 1; i < count; ++i) {
      if (entry / 32 == i) word = words[i];
    }
    return (word >> entry % 32 & 1U) != 0;
  }
};

// The blocks of `entries` entries, counted from the sequence's begin, that a tile goes through.
template <int entries>
class TileBlocks {
 public:
  using Bits = EntryBits<entries>;

  __device__ TileBlocks(const RowBounds* rows, int count)
      : rows_(rows),
        count_(count),
        summary_(sight_of(rows, count, true)),
        text_(sight_of(rows, count, false)),
        summary_blocks_(blocks_of(summary_)),
        end_(summary_blocks_ + blocks_of(text_)) {}

  __device__ int end() const { return end_; }
  __device__ bool is_summary(int block) const { return block < summary_blocks_; }
  __device__ int first_entry(int block) const {
    return entries *
           (is_summary(block) ? summary_.low / entries + block : text_.low / entries + block - summary_blocks_);
  }
  __device__ bool all_see(int block) const {
    const bool summary = is_summary(block);
    const int first = first_entry(block);
    return (summary ? summary_.all_low : text_.all_low) <= first &&
           first + entries <= (summary ? summary_.all_high : text_.all_high);
  }

  // The first block from `block` on that some row sees; `seen` becomes the entries of it that some row sees. Called by
  // whole warps.
  __device__ int next(int block, Bits& seen) const {
    for (; block < end_; ++block) {
      seen = seen_of(block);
      if (seen.any()) return block;
    }
    return block;
  }

 private:
  static __device__ int blocks_of(const TrackSight& sight) {
    return sight.low < sight.high ? (sight.high + entries - 1) / entries - sight.low / entries : 0;
  }

  __device__ Bits seen_of(int block) const {
    Bits bits{};
    if (all_see(block)) {
      bits.set_all();
      return bits;
    }
    const int first = first_entry(block);
    for (int row = static_cast<int>(threadIdx.x) % warp_lanes; row < count_; row += warp_lanes) {
      const Bounds bounds = bounds_in(rows_[row], is_summary(block));
      bits.add(bounds.low - first, bounds.high - first);
    }
    bits.merge_lanes();
    return bits;
  }

  const RowBounds* rows_;
  int count_;
  TrackSight summary_;
  TrackSight text_;
  int summary_blocks_;
  int end_;
};

}  // namespace precis::cuda
