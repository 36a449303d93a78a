// Positions for the rotation. KSA.md, "The sequence".
#pragma once

#include <cstdint>

#include "model/model_spec.h"

namespace precis {

// Of the text token with index `text` among text tokens.
std::int32_t text_position(const ModelSpec& spec, std::int64_t text);

// Of summary token `index` (0 .. S-1) of chunk `of`; the model must have summary attention.
std::int32_t summary_position(const ModelSpec& spec, std::int64_t of, std::int64_t index);

// The same as arithmetic that devices can do: of text tokens, or of summaries one chunk after the other. Text positions
// must not begin anew in each chunk.
EntryPositions entry_positions(const ModelSpec& spec, bool summaries);

}  // namespace precis
