// Who sees what: for every row at most one interval of entries a track. Arithmetic only; KSA.md, "What each token
// sees".
#pragma once

#include <cstdint>

#include "attention/layer_rule.h"
#include "device/attention_args.h"

namespace precis {

// What the text token with index `text` (among text tokens) sees in a layer with `rule`, itself included.
RowBounds text_row_bounds(const LayerRule& rule, const ChunkShape& chunk, std::int64_t text);

// What summary token `index` (0 .. S-1) of chunk `of` sees, itself included: the same in every layer.
RowBounds summary_row_bounds(const ChunkShape& chunk, std::int64_t of, std::int64_t index);

// The first text entry that a text token with index >= `tokens` can see: what lies below may be given back.
std::int64_t text_kept_from(const LayerRule& rule, const ChunkShape& chunk, std::int64_t tokens);

// Whether later text tokens ever see summaries in a layer with `rule`.
bool keeps_summaries(const LayerRule& rule);

// Chunks whose summaries must be there once the sequence has `tokens` text tokens: the text of any chunk below leaves
// the window, and the token with index `tokens` may see its summaries.
std::int64_t summaries_due(const LayerRule& rule, const ChunkShape& chunk, std::int64_t tokens);

}  // namespace precis
