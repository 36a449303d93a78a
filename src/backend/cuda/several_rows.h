// Products with several rows: a few are taken as they are, more are rounded as the weights are stored.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "backend/cuda/kernels.h"

namespace precis::cuda {

// One alone is multiplied faster by plain cores.
constexpr int least_several_rows = 2;
constexpr int most_several_rows = 64;
// Rows up to which products with bf16 are as exact as with floats.
constexpr int several_exact_rows = 4;
// Outputs of a block. Gated: half of them the gate's, half of them up's.
constexpr int several_outputs = 64;
// Blocks that share a matrix's inputs at most.
constexpr int most_shares = 8;
// Inputs that are loaded together.
constexpr int several_step = 128;

// For the product that takes the results next, normed: they are rounded times the norm's weights, and the roots that
// are still to divide by follow from the squares of each tile.
struct NextRows {
  const float* norm = nullptr;  // [outputs]
  void* rows = nullptr;         // [rows, outputs], bf16; or none are wanted
  float* squares = nullptr;     // [tiles, most_several_rows]: sums of squares of a tile's outputs
};

struct SeveralRows {
  // Exact: [rows] floats, row r at exact_x + r * exact_stride, both multiples of 16 bytes, and x is not used.
  const float* exact_x = nullptr;
  std::int64_t exact_stride = 0;
  const float* norm = nullptr;  // [inputs]: exact rows are normed on their way; or none
  float epsilon = 0;
  const void* x = nullptr;  // [rows, inputs], bf16 or f16
  std::int32_t rows = 0;    // at most most_several_rows, or exact ones several_exact_rows
  std::int32_t inputs = 0;  // whole chunks
  bool is_half = false;     // f16: none are exact
  bool gated = false;       // as launch_few_gated_rows
  bool accumulate = false;
  std::int32_t shares = 1;       // of the inputs, each for a block
  std::int32_t share_steps = 0;  // several_step inputs each
  std::int32_t count = 0;        // of parts
  FewRowsPart parts[few_rows_parts] = {};
  void* rounded = nullptr;      // [rows, outputs]: takes the first part's results, rounded, in y's place
  bool rounds_to_half = false;  // to f16, not bf16
  // Of rows that are rounded times the norm's weights: NextRows::squares of the products before, and their tiles.
  const float* squares = nullptr;
  std::int32_t squares_parts = 0;
  NextRows next = {};
};

// Tiles of several_outputs that a call takes.
int several_tiles(const SeveralRows& args);
// Sets `shares`, `most` at most, and `share_steps` from the parts' shapes alone.
void share_inputs(SeveralRows& args, int most = most_shares);
// Whether this program's kernel for the GPU knows clusters (compute capability 9.0); without, there is one share.
bool shares_in_clusters();
// Whether exact rows have room in a block's shared memory; by the parts' shapes alone.
bool has_exact_room(const SeveralRows& args);

void launch_several_rows(const SeveralRows& args, cudaStream_t stream);

}  // namespace precis::cuda
