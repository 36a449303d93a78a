// How one call of attention is cut into units that workers take one by one.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/cpu/kernels.h"
#include "device/attention_args.h"

namespace precis::cpu {

// Runs are cut into tiles of rows. A tile of many rows, a prompt's, is computed KV head by KV head. Where rows are few,
// decoding, the time goes into reading K and V: a unit is then a stretch of segments, for all heads where that leaves
// enough units, as the heads of a page lie together and long reads are fast ones. The worker that is the last to finish
// a stretch merges all of them, so that a call needs no second round.
class AttentionPlan {
 public:
  explicit AttentionPlan(const Kernels& kernels) : kernels_(kernels) {}

  // `args` must live until the units are done. Grows what the units share, as workers must not throw.
  void make(const AttentionArgs& args, Element type, int workers);

  std::int64_t units() const { return static_cast<std::int64_t>(units_.size()); }
  // Whether the work is worth waking workers.
  bool worth_sharing() const { return worth_sharing_; }
  // Of each worker, aligned to 64.
  std::int64_t scratch_floats() const { return scratch_floats_; }

  // Any worker, several at a time, each unit once.
  void work(std::int64_t unit, float* scratch);

 private:
  // Some rows of a run.
  struct Tile {
    const RowRun* run = nullptr;
    std::int64_t first_row = 0;
    std::int64_t rows = 0;
    std::int64_t first_segment[2] = {};  // as in AttentionTile
    std::int64_t segments[2] = {};
    std::int64_t entries = 0;    // that its rows see together, about
    std::int64_t ranges = 1;     // its units: ranges of KV heads,
    std::int64_t stretches = 1;  // and in each stretches of segments,
    std::int64_t sharers = 0;    // equal ones, or shares of so many workers (share.h)
    // If there are several stretches, the tile's place in parts_: [ranges, segments, part_floats]
    std::int64_t first_part = 0;
    std::int64_t part_floats = 0;
    std::int64_t first_counter = 0;  // and in counters_: [ranges], stretches that are not done

    std::int64_t all_segments() const { return segments[0] + segments[1]; }
  };
  struct Unit {
    std::int32_t tile;
    std::int32_t range;
    std::int32_t first_segment;  // counted over both tracks
    std::int32_t last_segment;
  };

  void cut_rows(int workers);
  Tile tile_of(const RowRun& run, std::int64_t first_row, std::int64_t rows) const;
  // `share`: a unit's cost as it should be; 0: the tile's units need not be many.
  void cut_tile(Tile& tile, std::int64_t share, int workers) const;
  void place_parts();
  void list_units();
  void list_stretches(std::int32_t tile, std::int32_t range);
  // What a run has picked, if it is to be read where it is.
  const PickRun* picked_in_place(const RowRun& run) const;
  AttentionTile arguments(const Tile& tile, std::int64_t range, float* scratch) const;
  std::int64_t queries(const Tile& tile) const { return tile.rows * group_; }  // of a KV head
  std::int64_t cost(const Tile& tile) const;                                   // of all KV heads
  std::int64_t most_heads(const Tile& tile) const;                             // of a range

  const Kernels& kernels_;
  const AttentionArgs* args_ = nullptr;
  Element type_ = Element::f32;
  std::int64_t group_ = 1;
  bool worth_sharing_ = false;
  std::int64_t scratch_floats_ = 0;
  // Kept from call to call, so that nothing is allocated in the long run.
  std::vector<Tile> tiles_;
  std::vector<Unit> units_;
  std::vector<float> parts_;
  std::vector<std::int32_t> counters_;  // accessed as atomics by the workers
};

}  // namespace precis::cpu
