// What operations take for themselves while they compute steps, worked out before there are any.
#pragma once

#include <cstdint>
#include <span>

#include "kv/kv_geometry.h"
#include "memory/kv_plan.h"
#include "model/model_spec.h"
#include "model/workspace.h"

namespace precis {

// How a GPU's operations go about it, and what of its weights they have to dequantize.
struct ScratchTraits {
  bool exact = false;          // BackendOptions::exact_activations
  bool deterministic = false;  // BackendOptions::deterministic
  bool quantized = false;      // some weights are
};

// Of a GPU: activations as products take them, an MLP's products that do not stay in a kernel, partial results of
// attention and selection, K and V of 8 bits as prompts read them, and what depends on no size. `tables`: of each group
// of layers, the most pages of a sequence.
std::int64_t scratch_bytes(const ModelSpec& spec, const KvGeometry& geometry, std::span<const GroupPages> tables,
                           const ScratchTraits& traits, const StepLimits& limits);

// The same of a host's backends: rows as products take them, as floats where they are `exact`, and a panel of weights
// a worker where these are `quantized`.
struct HostScratch {
  bool exact = false;
  bool quantized = false;
  std::int64_t workers = 1;
};
std::int64_t host_scratch_bytes(const ModelSpec& spec, const HostScratch& host, std::int64_t rows);

}  // namespace precis
