// Settings that all families share.
#pragma once

#include <cstdint>

#include "families/family.h"

namespace precis {

// Bounds on numbers from a config, so that no product of three of them leaves 64 bits.
constexpr std::int64_t max_layers = 4096;
constexpr std::int64_t max_size = 1 << 24;

// Sizes, vocabulary, context, epsilon, tied head, element type, rope and end ids. Layers get no rule yet.
// `head_dim`: what the family assumes when config.json does not say; 0: hidden_size / num_attention_heads.
ModelSpec read_common(FamilySource& source, std::string_view family, std::int64_t head_dim = 0);

// Gives every layer the same rule.
void add_layers(ModelSpec& spec, const LayerRule& rule);

// "config.json: NAME: not known ..." for the first field that nobody asked for and that is not known to be harmless.
void refuse_unread(Fields& config);

}  // namespace precis
