// Which of a call's rows are attended to by which kernels, planned from the runs alone: bounds lie on the device.
//
// Rows of short runs (decoding) are *split*: each row's entries are cut into stretches, a block computes one stretch of
// one row for all query heads of a KV head, and the last of these blocks to end merges the stretches in order. How a
// row is cut is a function of its bounds alone, so its bits are the same whatever stands beside it.
//
// Rows of long runs (prompts) are computed by tensor cores in *tiles*: 128 queries, which are some rows times the query
// heads of a KV head, go through the entries 64 or 128 at a time. They read bf16: K and V in e4m3 are widened before,
// those of a call's long runs into scratch memory, as many runs, or KV heads of one, at a time as that holds.
//
// Both give a row bits that follow from the row alone, but not the same ones. In deterministic mode the way is
// therefore not chosen by a run's length: RowRun::decoded says it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "device/attention_args.h"

namespace precis::cuda {

// A head's dimensions at most.
constexpr std::int64_t largest_head = 256;
// Entries that are read together. Stretches are whole blocks, counted from the sequence's begin.
constexpr int entry_block = 64;
// Stretches of a row at most.
constexpr int most_stretches = 64;
// Query heads that a block of the split kernel holds; more of a KV head go through the entries again.
constexpr int most_split_heads = 8;
constexpr int tile_queries = 128;
constexpr int most_pieces = 128;

// Rows of one run, in a launch.
struct AttentionPiece {
  std::int32_t run;  // index
  std::int32_t row;  // the first one, of the call
  std::int32_t rows;
  std::int32_t at;    // index in the launch of its first row (split) or first tile
  std::int32_t pick;  // index of what it has picked; < 0: nothing
};

// Passed to kernels by value.
struct AttentionBatch {
  const float* q;
  std::int64_t q_stride;
  float* out;
  const RowRun* runs;
  const RowBounds* bounds;
  KvView kv;
  KvView picked;                    // as AttentionArgs, and the next three
  const float* picked_q;            // or none
  const PickRun* picks;             // on the device, of all that have picked
  const std::int32_t* picked_list;  // none: what was picked lies in `picked`
  float scale;                      // of scores, times log2(e): weights are powers of 2
  std::int32_t heads;
  std::int32_t page_shift;  // page_entries is 1 << page_shift, or < 0 where it is no power of 2
  std::int32_t count;       // of pieces
  AttentionPiece pieces[most_pieces];
};

struct SplitArgs {
  AttentionBatch batch;
  std::int32_t rows;       // in all pieces
  std::int32_t most_rows;  // of a piece
  std::int32_t slots;      // blocks that share a row's stretches
  std::int32_t stretches;  // of a row at most
  bool picks;              // some runs have picked
  // The kernel begins when all is written that it reads but for what was chosen (AttentionPlan::set_placed).
  bool is_placed;
  const std::byte* next;  // the matrix that is multiplied next, in whole 16 bytes; or none
  std::int64_t next_bytes;
  void* rounded;  // [rows of the step, heads, head_dim]: takes `out` as bf16 as well; or none
  // Each stretch's outputs [rows, heads, stretches, head_dim], before they are divided by the sums of their weights,
  // and [rows, heads, stretches, 2]: the largest score and that sum.
  float* outputs;
  float* sums;
  std::int32_t* counters;  // [rows, kv_heads]: blocks of a row that have ended, 0 between launches
};

struct TileArgs {
  AttentionBatch batch;
  std::int32_t tiles;
  std::int32_t kv_heads;  // that the launch computes: the first ones of `batch`
};

// The pages of some runs, some KV heads of one layer: widened, and described as runs that begin at place 0 of `to`.
// Each run has equally many places there, for its text track and behind these for its summary track.
struct WidenArgs {
  KvView from;    // e4m3
  KvView picked;  // the same of what runs have picked
  KvView to;      // bf16; pages hold `heads` of all the KV heads that it names
  const RowRun* from_runs;
  RowRun* to_runs;      // [count]
  std::int32_t* table;  // [count, run_places]: the pages that `to_runs` point to
  std::int32_t first_head;
  std::int32_t heads;
  std::int32_t text_places;  // of a run
  std::int32_t run_places;
  std::int32_t count;              // of runs
  std::int32_t runs[most_pieces];  // their indices in `from_runs`
};

// Tiles, and what they read where it has to be widened first.
struct TileBatch {
  TileArgs tiles;
  std::optional<WidenArgs> widen;
};

// attention_decode.cuh: attention_picked.cu where runs have picked; and what it leaves to attention_split.cuh: floats,
// heads of more than 128, and e4m3 of heads that are no multiple of 16.
void launch_split_attention(const SplitArgs& args, cudaStream_t stream);
void launch_decode_f8(const SplitArgs& args, dim3 grid, cudaStream_t stream);
void launch_decode_picked(const SplitArgs& args, dim3 grid, cudaStream_t stream);
void launch_split_f32(const SplitArgs& args, dim3 grid, cudaStream_t stream);
void launch_split_f8(const SplitArgs& args, dim3 grid, cudaStream_t stream);
void launch_split_wide(const SplitArgs& args, dim3 grid, cudaStream_t stream);
// attention_widen.cu
void launch_widen(const WidenArgs& args, cudaStream_t stream);
// attention_tiles.cu
void launch_tile_attention(const TileArgs& args, cudaStream_t stream);

class AttentionPlan {
 public:
  // `deterministic` as in BackendOptions.
  explicit AttentionPlan(bool deterministic);

  void make(const AttentionArgs& args);
  // Whether some of what was picked is not to be read where it is (AttentionArgs::picked_list), but from `picked`,
  // where the caller copies all of it.
  bool wants_copies() const { return wants_copies_; }

  // What the split batches need together, as they follow each other: as much as the largest.
  std::int64_t partial_floats() const { return partial_floats_; }
  std::int64_t counters() const { return counters_; }
  // `counters` are 0.
  void set_partials(float* partials, std::int32_t* counters);
  // The list was written by launch_top, and nothing was launched since.
  void set_placed();
  // Of all batches: SplitArgs::rounded, and whose product takes it. (Where rows are not rounded they are few, and the
  // product itself begins to read before attention ends.)
  void set_rounded(void* rounded, const WeightView& next);

  // What is widened at a time, as much as the largest.
  std::int64_t widened_bytes() const { return widened_bytes_; }
  void set_widened(std::byte* memory);

  const std::vector<SplitArgs>& split_batches() const { return splits_; }
  const std::vector<TileBatch>& tile_batches() const { return tiles_; }

 private:
  // What widened runs take, and so what is widened at a time.
  struct Widening {
    std::int64_t text_places = 0;  // pages of a run
    std::int64_t run_places = 0;
    std::int64_t page_bytes = 0;  // of one KV head
    std::int64_t heads = 0;       // at a time; 0: a run is too long
    std::int64_t runs = 0;        // at a time, at most
  };

  Widening plan_widening(const AttentionArgs& args, const TableSizes& sizes) const;
  bool fits_tiles(const AttentionArgs& args, const RowRun& run) const;
  AttentionBatch empty_batch(const AttentionArgs& args) const;
  // `pick`: as AttentionPiece.
  void add_split(const AttentionArgs& args, std::int32_t run, std::int32_t pick);
  void add_tiles(const AttentionArgs& args, std::int32_t run, std::int32_t pick);
  void finish_picks(const AttentionArgs& args);
  void finish_splits(const AttentionArgs& args);
  void finish_tiles(const AttentionArgs& args);

  const bool deterministic_;
  std::int32_t processors_ = 0;
  std::int32_t most_rows_ = 0;  // of a split batch, for its partials to stay small
  std::int32_t stretches_ = 0;  // of a row at most, by the pages that there are
  std::vector<SplitArgs> splits_;
  std::vector<TileBatch> tiles_;
  Widening widening_;
  std::int64_t partial_floats_ = 0;
  std::int64_t counters_ = 0;
  std::int64_t widened_bytes_ = 0;
  bool wants_copies_ = false;
};

// Whether attention_decode.cuh attends to K and V of that kind where the pieces are split.
bool decodes(const KvView& kv);

}  // namespace precis::cuda
