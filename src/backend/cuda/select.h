// The kernels of selective attention (device/select_args.h), by the functions that launch them. Grids follow from what
// host runs say for all calls of a recorded step; the rest is read from the runs on the device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "device/select_args.h"

namespace precis::cuda {

// Memory of a call of select().
struct SelectScratch {
  std::int64_t stride;  // numbers of a run: as many as entries that it may choose from, at least; whole fours
  float* scores;        // [runs, stride]: F of a run's entries from `initial` on
  std::uint32_t* keys;  // [runs, stride]: the same by order, after proximity
  std::uint32_t* most;  // [rows of the step]: the largest f of a row of a run of several rows, by order
  std::int64_t rows;
};

// Entries that runs with so long tables may choose from, at most: one number for all calls of a recorded step.
std::int64_t most_choices(const SelectArgs& args);

// select_scores.cu: F of all runs' entries.
void launch_scores(const SelectArgs& args, const SelectScratch& scratch, cudaStream_t stream);
// select_top.cu: F -> lists. `blocks`: of a run, 1 where blocks cannot be a cluster.
void launch_top(const SelectArgs& args, const SelectScratch& scratch, int blocks, cudaStream_t stream);
constexpr int most_top_blocks = 8;
// pick.cu
void launch_keep_short(const KeepShortArgs& args, cudaStream_t stream);
void launch_pick(const PickArgs& args, cudaStream_t stream);
void launch_turn(const TurnArgs& args, cudaStream_t stream);

}  // namespace precis::cuda
