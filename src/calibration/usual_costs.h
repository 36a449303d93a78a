// A budget of bits without text to measure on: formats by what a matrix of each role usually costs.
#pragma once

#include <vector>

#include "calibration/bit_budget.h"
#include "model/model_spec.h"
#include "model/weight_names.h"

namespace precis {

// The matrices of a model that can be quantized, the head's behind all others.
std::vector<ExpectedTensor> quantizable_matrices(const ModelSpec& spec);

// As spend_bits() gives them out by what a million weights of each role cost in the demo models
// (docs/quantization.md): for all of the model's matrices, by names and sizes alone.
FormatChoice usual_formats(const ModelSpec& spec, double bits);

}  // namespace precis
