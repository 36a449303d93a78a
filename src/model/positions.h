// Positions for the rotation. KSA.md, "The sequence".
#pragma once

#include <cstdint>

#include "model/model_spec.h"

namespace precis {

// Of the text token with index `text` among text tokens.
std::int32_t text_position(const ModelSpec& spec, std::int64_t text);

// Of summary token `index` (0 .. S-1) of chunk `of`; the model must have summary attention.
std::int32_t summary_position(const ModelSpec& spec, std::int64_t of, std::int64_t index);

}  // namespace precis
