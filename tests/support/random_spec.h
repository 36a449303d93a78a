// Models of every kind of sight, as far as memory and scheduling care: rules, chunks and layers, no weights.
#pragma once

#include <algorithm>
#include <string>

#include "model/model_spec.h"
#include "support/random.h"

namespace precis::test {

enum class SpecKind { dense, sliding, sliding_and_full, ksa, ksa_pure };

inline ModelSpec make_spec(const std::vector<LayerRule>& layers, ChunkShape chunk) {
  ModelSpec spec;
  spec.heads = 2;
  spec.kv_heads = 1;
  spec.head_dim = 4;
  spec.embeddings = 1000;
  spec.vocabulary = 900;
  spec.chunk = chunk;
  if (chunk.any()) spec.summary.emplace().first_id = 900;
  for (const LayerRule& rule : layers) spec.add_layer(rule);
  spec.layers = static_cast<std::int64_t>(layers.size());
  return spec;
}

inline ModelSpec random_spec(Random& random, SpecKind kind) {
  const LayerRule full;
  const LayerRule sliding{Sight::window, random.pick<std::int64_t>({1, 3, 16, 17, 64})};
  const LayerRule summary{Sight::summary, random.pick<std::int64_t>({0, 1, 2, 4, 9})};
  const ChunkShape chunk{random.pick<std::int64_t>({1, 3, 5, 8}), random.between(1, 2) * random.between(1, 2)};
  const bool windows = kind == SpecKind::sliding || kind == SpecKind::sliding_and_full;
  const bool chunked = kind == SpecKind::ksa || kind == SpecKind::ksa_pure;
  std::vector<LayerRule> layers;
  const std::int64_t count = random.between(1, 8);
  for (std::int64_t layer = 0; layer < count; ++layer) {
    layers.push_back(windows ? sliding : chunked ? summary : full);
    const bool both = kind == SpecKind::ksa || kind == SpecKind::sliding_and_full;
    if (both && (layer == 0 || random.chance(0.4))) layers.push_back(full);
  }
  if (random.chance(0.5)) std::reverse(layers.begin(), layers.end());
  return make_spec(layers, chunked ? chunk : ChunkShape{});
}

inline ModelSpec random_spec(Random& random) {
  return random_spec(random, static_cast<SpecKind>(random.below(5)));
}

// For messages.
inline std::string describe(const ModelSpec& spec) {
  std::string text = "k " + std::to_string(spec.chunk.text) + ", S " + std::to_string(spec.chunk.summary) + ", layers";
  for (const std::int32_t index : spec.rule_of_layer) {
    const LayerRule& rule = spec.rules[static_cast<std::size_t>(index)];
    text += rule.sight == Sight::full ? " full" : rule.sight == Sight::window ? " window" : " summary";
    if (rule.sight != Sight::full) text += std::to_string(rule.window);
  }
  return text;
}

}  // namespace precis::test
