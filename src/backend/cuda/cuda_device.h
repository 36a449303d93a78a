// An NVIDIA GPU.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "device/device.h"

namespace precis::cuda {

// Why there is no GPU here that this program can use, in one line; empty where there is one. Never throws.
std::string why_unusable();

// Bytes of a GPU's memory that its driver and this program's code take: as measured on an H100 with driver 580.
constexpr std::int64_t driver_overhead = std::int64_t{532} << 20;

// The first GPU that the process sees (CUDA_VISIBLE_DEVICES). `exact_activations` and `deterministic` as in
// BackendOptions. Throws Error.
std::unique_ptr<Device> open_cuda(bool exact_activations, bool deterministic);

}  // namespace precis::cuda
