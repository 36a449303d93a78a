// An NVIDIA GPU.
#pragma once

#include <memory>
#include <string>

#include "device/device.h"

namespace precis::cuda {

// Why there is no GPU here that this program can use, in one line; empty where there is one. Never throws.
std::string why_unusable();

// The first GPU that the process sees (CUDA_VISIBLE_DEVICES). `exact_activations` and `deterministic` as in
// BackendOptions. Throws Error.
std::unique_ptr<Device> open_cuda(bool exact_activations, bool deterministic);

}  // namespace precis::cuda
