// What config.json says about a checkpoint that `precis quantize` wrote.
#pragma once

#include "checkpoint/fields.h"
#include "model/model_spec.h"

namespace precis {

// Of the formats that are written: 3 since q4 has a word a block, before it had two f16; q8 is what it was in 2.
constexpr int quantization_version = 3;

// Reads `quantization_config`, where there is one. Throws Error that names the field when it is another program's or of
// a version that is not known.
void read_quantization(Fields& config, ModelSpec& spec);

}  // namespace precis
