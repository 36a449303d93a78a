// Rotary position embedding: the angle a position for each pair of dimensions. Computed in float in the order of
// Hugging Face transformers (modeling_rope_utils), so that rotations agree to the bit.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model_spec.h"

namespace precis {

struct RopeTable {
  std::vector<float> frequencies;  // [head_dim / 2], radians a position
  float magnitude = 1;             // factor on cosines and sines (YaRN's attention factor)
};

RopeTable make_rope_table(const RopeSpec& spec, std::int64_t head_dim);

}  // namespace precis
