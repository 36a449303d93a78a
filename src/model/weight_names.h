// What a checkpoint in Hugging Face layout calls its tensors, and which of them a model must have.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model_spec.h"

namespace precis {

struct ExpectedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
};

// Every tensor that `spec` needs, with its shape; in the order of the layers.
std::vector<ExpectedTensor> expected_tensors(const ModelSpec& spec);

// The matrix that gives logits: a tied one is the embedding as well.
std::string head_name(const ModelSpec& spec);

// The same with the head's matrix behind all others: in the order in which they can be calibrated.
std::vector<ExpectedTensor> expected_tensors_head_last(const ModelSpec& spec);

}  // namespace precis
