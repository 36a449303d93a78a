// The inner loops of the CPU backend, compiled once for each instruction set, and their plain arguments.
//
// This header and all that the kernels include hold no inline function that could be emitted: the linker keeps one copy
// of such a function, and it might be the one with AVX-512 in it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace precis::cpu {

enum class Element : std::uint8_t { f32, f16, bf16, f8 };

// Of weights, in the order of WeightFormat.
enum class Format : std::uint8_t { f32, f16, bf16, q8, q6, q5, q4 };

// What a product takes its activations as.
enum class Form : std::uint8_t {
  floats,       // as they are
  halves,       // rounded to bf16, where Kernels::multiplies_halves
  shorts,       // 16-bit integers with a scale for some blocks of 32, for q8
  bytes,        // 8-bit ones with a scale and a sum every 32, for q6, q5 and q4
  tile_shorts,  // for q8, where Kernels::multiplies_tiles: as shorts, of at most 2^12, that bf16 holds exactly, and
                // with powers of two as their scales
};

// How much memory a row takes in a form: some slices of its inputs, of equal size.
struct RowShape {
  std::int64_t slices;
  std::int64_t slice_bytes;
};

// Rows to be converted together: slice s of row r is for to + s * slice_stride + r * row_stride.
struct ActivationRows {
  const float* x;
  std::int64_t x_stride;  // floats
  std::int64_t rows;
  std::int64_t inputs;
  Form form;
  std::byte* to;            // aligned to 64
  std::int64_t row_stride;  // bytes
  std::int64_t slice_stride;
};

// What a worker multiplies after a tile, by the same rows: `few` asks for its first weights before it ends, as memory
// would rest otherwise until the next tile has asked.
struct NextWeights {
  const std::byte* values = nullptr;  // null: nothing
  const std::uint16_t* scales = nullptr;
  Format format = Format::f32;
  std::int64_t outputs = 0;
};

// Some rows of x times some rows of one matrix: y[r][o] = w[o] . x[r] + bias[o], or += that.
//
// `few` (up to Kernels::few_rows of them) takes rows as one slice after the other (`floats` as they are, not
// converted), all converted together. `many` takes converted rows, slice s of row r at x + s * slice_stride + r *
// x_stride, or groups of ManyShape::group in the place of their rows.
struct LinearTile {
  const std::byte* x;
  std::int64_t x_stride;  // bytes
  std::int64_t slice_stride;
  std::int64_t rows;
  const std::byte* values;  // [outputs, inputs]
  const std::uint16_t* scales;
  Format format;
  Form form;
  std::int64_t outputs;
  std::int64_t inputs;
  const float* bias;  // [outputs] or null
  float* y;
  std::int64_t y_stride;
  bool accumulate;
  NextWeights next;    // of `few`
  std::byte* scratch;  // of `many`: many_scratch() bytes, aligned to 64
};

// How `many` wants to be called.
struct ManyShape {
  std::int64_t group;    // rows that are converted together; memory is for whole groups
  std::int64_t rows;     // of a task at most, whole groups
  std::int64_t outputs;  // of a task at most
  std::int64_t step;     // outputs of a task are a multiple of this, but for the last
};

// One row: y = x / rms(x) * weight. `y` may be `x`.
struct NormRow {
  const float* x;
  const float* weight;
  float* y;
  std::int64_t width;
  float epsilon;
};

// One row's q, k and v; see PlaceArgs.
struct PlaceRow {
  float* qkv;
  const float* own;  // or null
  float mix;
  const float* q_norm;  // or null
  const float* k_norm;  // or null
  float epsilon;
  const float* rotation;  // [2, head_dim / 2]
  std::int64_t heads;
  std::int64_t kv_heads;
  std::int64_t head_dim;
  std::byte* key;  // of KV head 0; null: not stored
  std::int64_t head_bytes;
  std::int64_t value_offset;  // bytes from K to V
  Element type;               // not f16
  float* query_sums;          // [kv_heads, head_dim] or null, as PlaceArgs
  float* plain_keys;          // the same
};

// Some rows' scores of some entries, for Ops::select.
struct ScoreTile {
  const float* q;  // [rows, dim]
  std::int64_t rows;
  std::int64_t dim;
  const std::byte* const* keys;  // [entries]: k' of each
  std::int64_t entries;          // at most score_entries
  Element type;                  // f32 or bf16
};
constexpr std::int64_t score_entries = 256;

// An entry's K and V to where it was picked to.
struct PickEntry {
  const std::byte* key;   // of KV head 0
  const std::byte* next;  // that of an entry picked soon, to be fetched into the cache meanwhile
  std::int64_t head_bytes;
  std::int64_t value_offset;
  std::byte* to;  // the same, with its own offsets
  std::int64_t to_head_bytes;
  std::int64_t to_value_offset;
  std::int64_t kv_heads;
  std::int64_t head_dim;
  Element type;
  // [2, head_dim / 2]: rotations of the key's position and of the one that it is turned to; null: it is not.
  const float* from_rotation;
  const float* to_rotation;
  float* turn;  // [head_dim]: scratch
};

// y = silu(gate) * up. `y` may be one of the two.
struct GateRow {
  const float* gate;
  const float* up;
  float* y;
  std::int64_t width;
};

// The pages of one track, as in TrackPages.
struct TrackTable {
  const std::int32_t* pages;
  std::int64_t first_page;
};

// Where the keys of a track lie, for one KV head: those of page 0, if that is a near page, and of the first far page
// (KvView).
struct TrackKeys {
  const std::byte* near;
  std::int64_t page_bytes;
  std::int64_t near_pages;
  const std::byte* far;
  std::int64_t value_offset;  // bytes from a key to its value
};

// Attention adds up each segment of a track, at absolute entry numbers, by itself and then the segments in order, so
// that workers can share a row's entries and its bits do not depend on how.
constexpr std::int64_t attention_segment = 256;  // entries
constexpr std::int64_t max_attention_rows = 72;  // of a tile

// Consecutive rows of one run and the query heads of some KV heads. In the arrays of two: summary first, then text.
struct AttentionTile {
  float* out;  // of the first row and the first head, as are the queries
  std::int64_t out_stride;
  std::int64_t rows;
  std::int64_t heads;  // KV heads
  std::int64_t group;  // query heads of each
  std::int64_t head_dim;
  float scale;
  const std::int32_t* low[2];  // of row r at low[track][r * bounds_stride]
  const std::int32_t* high[2];
  std::int64_t bounds_stride;
  std::int64_t first_segment[2];  // the segments from the first to the last that a row sees
  std::int64_t segments[2];
  TrackTable tables[2];
  const std::int32_t* list;  // entries of the summary track as entries of its table; or null: they are the same
  const float* queries[2];   // q of each track
  std::int64_t query_strides[2];
  TrackKeys keys[2];  // of the first KV head
  std::int64_t head_bytes;
  std::int64_t page_entries;
  Element type;    // not f16
  float* scratch;  // attention_scratch() floats, aligned to 64
};

struct Kernels {
  const char* name;
  bool multiplies_halves;
  bool multiplies_tiles;
  std::int64_t (*few_rows)(Form form);  // that pass over the weights together without a scratch copy of them
  RowShape (*few_row_shape)(Form form, std::int64_t inputs);
  RowShape (*many_row_shape)(Form form, std::int64_t inputs);
  void (*convert)(const ActivationRows& rows);       // for `few`
  void (*convert_many)(const ActivationRows& rows);  // for `many`: a group
  void (*few)(const LinearTile& tile);
  std::int64_t (*few_streams)(Format format);  // in which it reads the outputs of a tile of one row
  std::int64_t few_step;                       // outputs of a tile of `few` are best a multiple of this
  void (*many)(const LinearTile& tile);
  ManyShape many_shape;
  std::int64_t (*many_scratch)(std::int64_t rows, std::int64_t inputs);
  void (*norm)(const NormRow& row);
  void (*place)(const PlaceRow& row);
  void (*gate)(const GateRow& row);
  // The largest of each row's scores and `maxima`, which they take the place of.
  void (*score_maxima)(const ScoreTile& tile, float* maxima);
  // The largest over the rows of (score - maximum), for each entry; of the one row's scores where there are no maxima.
  void (*score_best)(const ScoreTile& tile, const float* maxima, float* best);
  void (*pick)(const PickEntry& entry);
  void (*widen)(Element type, const void* from, float* to, std::int64_t count);
  void (*exponential)(const float* from, float* to, std::int64_t count);
  void (*decay)(const float* from, float* to, std::int64_t count);  // e^x for x <= 0
  // A tile's attention. Or in parts: segments [first, last) of the tile's, counted over both tracks, each to its place
  // in `parts` (attention_part() floats a segment); when all are there they are merged, to the same bits.
  void (*attention)(const AttentionTile& tile);
  void (*attention_segments)(const AttentionTile& tile, std::int64_t first, std::int64_t last, float* parts);
  void (*attention_merged)(const AttentionTile& tile, float* parts);
  std::int64_t (*attention_scratch)(std::int64_t queries, std::int64_t head_dim);  // queries: rows times query heads
  std::int64_t (*attention_part)(std::int64_t queries, std::int64_t head_dim);
  // Of SpeedLoops.
  std::uint32_t (*sum_words)(const std::uint32_t* from, std::int64_t words);
  float (*multiply_add)(std::int64_t rounds);
  std::int64_t multiply_chains;
};

extern const Kernels baseline_kernels;
#if defined(__x86_64__)
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
extern const Kernels avx512bf16_kernels;
extern const Kernels amx_kernels;
#endif

}  // namespace precis::cpu
