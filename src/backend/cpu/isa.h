// Which instruction set the kernels use.
#pragma once

#include <vector>

#include "backend/cpu/kernels.h"

namespace precis::cpu {

// The kernels that this machine can run, the fastest first.
std::vector<const Kernels*> available_kernels();

// The fastest, or the one that the environment variable PRECIS_ISA names (baseline, avx2, avx512, avx512bf16, amx).
// Throws Error when it names one that is unknown or that this machine cannot run.
const Kernels& chosen_kernels();

}  // namespace precis::cpu
