// By which rule a layer's rows see text and summaries.
#pragma once

#include <cstdint>
#include <vector>

namespace precis {

enum class Sight : std::uint8_t {
  full,     // all earlier text and itself; of summaries nothing
  window,   // the last `window` text tokens, itself included (Mistral)
  summary,  // the text of the last `window` chunks and its own, the summaries of all chunks before (KSA)
};

struct LayerRule {
  Sight sight = Sight::full;
  std::int64_t window = 0;  // tokens (window) or chunks (summary); 0 and unused for full

  bool operator==(const LayerRule&) const = default;
};

// How text is cut into chunks. Models without summary attention have no chunks: text = 0.
struct ChunkShape {
  std::int64_t text = 0;     // k: text tokens a chunk
  std::int64_t summary = 0;  // S: summary tokens a chunk

  bool any() const { return text > 0; }
  // Complete chunks among the first `tokens` text tokens.
  std::int64_t complete(std::int64_t tokens) const { return any() ? tokens / text : 0; }
};

}  // namespace precis
