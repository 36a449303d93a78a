// What one family's file offers to the others of this room, and what it starts from.
#pragma once

#include <cstdint>
#include <optional>

#include "base/json.h"
#include "checkpoint/fields.h"
#include "model/model_spec.h"

namespace precis {

// What is known before a family has read its own settings.
struct FamilySource {
  Fields config;                               // config.json
  std::optional<JsonView> generation;          // generation_config.json
  std::optional<std::int64_t> embedding_rows;  // of the tensor; nothing without tensors
};

// Each reads all that its family defines; what then remains unread in `source.config` is refused by the caller.
ModelSpec read_llama(FamilySource& source);
ModelSpec read_mistral(FamilySource& source);
ModelSpec read_qwen2(FamilySource& source);
ModelSpec read_qwen3(FamilySource& source);
ModelSpec read_ksa(FamilySource& source);

}  // namespace precis
