// What efficient selective attention asks of a device: runs of rows that attend to few entries of a long track, chosen
// by short vectors. docs/esa.md, "In the engine".
//
// Of a layer that selects, in this order: place() leaves query_sums and plain_keys, shorten() makes k' of them, keeps
// it and, where runs pick, makes q', and then come select(), pick(), turn() (pick() and turn() as the positions want
// them), and attention(). Runs come twice: in host memory to plan by, in device memory to read. In calls that are
// recorded (Ops::repeat) only some of what host runs say holds for all calls: first_row, rows, first_page, initial,
// top, count(), and the number of the track's pages up to a power of two. local, end and distance go on from step to
// step.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "device/attention_args.h"

namespace precis {

// k' of a step's rows to their slots, as KvView::short_type(), rounded to nearest even.
struct KeepShortArgs {
  const float* x = nullptr;             // [rows, kv.short_dim]
  const std::int64_t* slots = nullptr;  // [rows], as PlaceArgs
  KvView kv = {};
  std::int64_t rows = 0;
};

// keep_short() of the keys' products with one matrix, and the queries' products with another one.
struct ShortenArgs {
  const float* keys = nullptr;  // [key_rows, key_weight.inputs]
  WeightView key_weight = {};
  float* short_keys = nullptr;          // [key_rows, kv.short_dim]: temporary
  const std::int64_t* slots = nullptr;  // as KeepShortArgs
  KvView kv = {};
  std::int64_t key_rows = 0;
  const float* queries = nullptr;  // [query_rows, query_weight.inputs]
  WeightView query_weight = {};
  float* short_queries = nullptr;  // [query_rows, kv.short_dim]
  std::int64_t query_rows = 0;
};

// What each run picks. The score of a row c and an entry m is f = q'_c . k'_m; for a run F_m = max over its rows of
// (f - the row's largest f), or f where it has one row; entries count as the largest F within `proximity` entries of
// them, among those to be chosen from. The `top` largest are chosen, ties to the smaller index. What is no number
// counts as minus infinity.
struct SelectArgs {
  const float* q = nullptr;  // [rows of the step, kv.short_dim]: q'; those of the runs' rows are read
  KvView kv = {};            // k' of [initial, local) are read
  std::int64_t proximity = 0;
  std::span<const PickRun> runs = {};  // in host memory; tables in device memory
  const PickRun* device_runs = nullptr;
  // [picked pages, page_entries]: entries of the runs' tracks; of a run, count() from first_page on.
  std::int32_t* list = nullptr;
};

// The position of a track's entry: that of the last token of its slice of a chunk. Text: one entry a chunk of one.
struct EntryPositions {
  std::int32_t text = 1;     // tokens a chunk; 0: all positions are 0
  std::int32_t entries = 1;  // a chunk
  std::int32_t shift = 1;    // slices before the position

  std::int32_t operator()(std::int32_t entry) const {
    const std::int32_t first = entry / entries * text;
    return std::max(first, first + (entry % entries + shift) * text / entries - 1);
  }
};

// Where picked keys go from their own positions.
enum class KeyTurn : std::uint8_t {
  none,
  packed,     // picked entry i to the position of entry local - chosen() + i: all lie directly before the local ones
  to_origin,  // all to 0
};

// K and V of what was picked are copied to the picked pages, keys turned on the way (in float, rounded again; one that
// stays at its position keeps its bits).
struct PickArgs {
  KvView kv = {};
  KvView picked = {};  // as AttentionArgs::picked
  std::span<const PickRun> runs = {};
  const PickRun* device_runs = nullptr;
  const std::int32_t* list = nullptr;  // as SelectArgs
  KeyTurn turn = KeyTurn::none;
  EntryPositions positions = {};
  const float* rotations = nullptr;  // [positions, 2, head_dim / 2]: cosines, then sines, of magnitude 1
};

// y[r] = the heads of q[r] turned from the row's position to PickRun::distance. Of the runs' rows alone.
struct TurnArgs {
  const float* q = nullptr;  // row r at q + r * q_stride: [heads, head_dim]
  std::int64_t q_stride = 0;
  float* y = nullptr;                       // [rows of the step, heads * head_dim]
  const std::int32_t* positions = nullptr;  // [rows of the step]
  const float* rotations = nullptr;         // as PickArgs
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;
  std::span<const PickRun> runs = {};
  const PickRun* device_runs = nullptr;
};

}  // namespace precis
