// How one call of attention is cut into units that workers take one by one.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/cpu/kernels.h"
#include "device/attention_args.h"

namespace precis::cpu {

// Runs are cut into tiles of rows, and a tile of few rows into stretches of segments where its rows see so many entries
// that one worker would be left with it: decoding. Which worker is last to finish a stretch merges them all, so that a
// call needs no second round.
class AttentionPlan {
 public:
  explicit AttentionPlan(const Kernels& kernels) : kernels_(kernels) {}

  // `args` must live as long as the units are at work. Grows what the units share, as workers must not throw.
  void make(const AttentionArgs& args, Element type, int workers);

  std::int64_t units() const { return static_cast<std::int64_t>(units_.size()); }
  // Whether the work is worth waking workers.
  bool worth_sharing() const { return worth_sharing_; }
  // Of each worker, aligned to 64.
  std::int64_t scratch_floats() const { return scratch_floats_; }

  // Any worker, several at a time, each unit once.
  void work(std::int64_t unit, float* scratch);

 private:
  // Some rows of a run, for every KV head.
  struct Tile {
    const RowRun* run = nullptr;
    std::int64_t first_row = 0;
    std::int64_t rows = 0;
    std::int64_t first_segment[2] = {};  // as in AttentionTile
    std::int64_t segments[2] = {};
    std::int64_t entries = 0;        // that its rows see together, about
    std::int64_t stretches = 1;      // units a KV head
    std::int64_t first_part = 0;     // where it is cut, its place in parts_: [kv_heads, segments, attention_part()]
    std::int64_t first_counter = 0;  // and in counters_: [kv_heads], stretches that are not done
  };
  // One stretch of segments for one KV head.
  struct Unit {
    std::int32_t tile;
    std::int32_t head;
    std::int32_t stretch;
  };

  void cut_rows(int workers);
  void cut_segments(int workers);
  Tile tile_of(const RowRun& run, std::int64_t first_row, std::int64_t rows) const;
  std::int64_t queries(const Tile& tile) const { return tile.rows * group_; }
  std::int64_t cost(const Tile& tile) const;

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
