// What a machine can do at most, measured: what the speed of a model is held against.
#pragma once

#include "precis/engine_options.h"

namespace precis {

struct MachineSpeed {
  double read_bandwidth = 0;  // bytes a second that all threads together read from memory that no cache holds
  double peak_flops = 0;      // a second, in products as the backend computes them; a multiply-add counts as two
};

// Measures the machine with `backend` and `threads` of the options. Takes about a second, and 1 GiB of memory (more
// where caches are very large, at most a quarter of the machine's) while it lasts. An engine that is open should be
// idle meanwhile. Throws std::runtime_error when there is no such backend or not so much memory.
MachineSpeed measure_machine(const EngineOptions& options);

// The read bandwidth alone, from a look of some hundredths of a second between two runs, where others use the machine's
// memory too: on average on a CPU, at best on a GPU, which nobody shares. 256 MiB (or more, as above) of host memory or
// 4 GiB of a GPU's while it lasts.
double measure_read_bandwidth(const EngineOptions& options);

}  // namespace precis
