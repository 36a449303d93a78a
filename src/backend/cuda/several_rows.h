// Products with several rows, which are rounded as the weights are stored.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "backend/cuda/kernels.h"

namespace precis::cuda {

constexpr int most_several_rows = 64;
// Rows that may be given twice, rounded and what rounding left over (launch_round_exact).
constexpr int several_exact_rows = 4;
// Outputs of a cluster, where there are not too many rows for that. Gated: half of them the gate's, half of them up's.
constexpr int several_outputs = 64;
// Inputs that a warp takes at a time.
constexpr int several_step = 64;

struct SeveralRows {
  const void* x;        // [rows, inputs], bf16 or f16
  std::int32_t rows;    // at most most_several_rows
  std::int32_t inputs;  // whole chunks
  bool is_half;         // f16
  bool exact;           // the second half of the rows are the rests of the first half
  bool gated;           // as launch_few_gated_rows
  bool accumulate;
  std::int32_t shares;       // of the inputs: blocks of a cluster
  std::int32_t share_steps;  // several_step inputs each
  std::int32_t count;        // of parts
  FewRowsPart parts[few_rows_parts];
  void* rounded = nullptr;      // [rows, outputs]: takes the first part's results, rounded, in y's place
  bool rounds_to_half = false;  // to f16, not bf16
};

// Clusters of so many outputs that a call takes.
int several_tiles(const SeveralRows& args, int outputs);
// Sets `shares` and `share_steps` from the parts' shapes alone.
void share_inputs(SeveralRows& args);

void launch_several_rows(const SeveralRows& args, cudaStream_t stream);

}  // namespace precis::cuda
