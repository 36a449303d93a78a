// The CPU with all its cores and vectors.
#pragma once

#include <memory>

#include "device/device.h"

namespace precis::cpu {

// `threads`: 0: one a physical core. `exact_activations` as in BackendOptions. PRECIS_ISA forces an instruction set,
// see isa.h. Throws Error.
std::unique_ptr<Device> open_cpu(int threads, bool exact_activations);

}  // namespace precis::cpu
