// From a checkpoint's configuration to what its arithmetic depends on: Llama, Mistral, Qwen2, Qwen3 and KSA.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "model/model_spec.h"

namespace precis {

// The model in `checkpoint`. Its tensors are checked too (check_tensors). A setting that is not understood and might
// change the numbers is refused by name. Throws Error("FILE: key: ...").
ModelSpec read_model_spec(const Checkpoint& checkpoint);

// The same from a config.json alone, for models without weights.
ModelSpec read_model_spec(const JsonView& config);

// Throws Error unless every tensor that `spec` needs is there with its shape and a type of f32, f16 or bf16 (in a
// quantized checkpoint: or in its format, with scales), and no other tensor would have taken part in the computation.
void check_tensors(const Checkpoint& checkpoint, const ModelSpec& spec);

// Tensors that `spec` has no use for, in alphabetical order.
std::vector<std::string> unused_tensors(const Checkpoint& checkpoint, const ModelSpec& spec);

}  // namespace precis
