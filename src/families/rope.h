// Rotary position embedding as config.json spells it.
#pragma once

#include <cstdint>

#include "checkpoint/fields.h"
#include "model/model_spec.h"

namespace precis {

// From `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (before). `context` is
// max_position_embeddings, from which transformers derives what yarn and llama3 leave out. Throws Error that names the
// field for any kind but default, linear, llama3 and yarn.
RopeSpec read_rope(Fields& config, std::int64_t context);

}  // namespace precis
