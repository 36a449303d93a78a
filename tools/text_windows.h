// A text cut into windows, each computed on its own, in which every token is to be expected once.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "precis/engine.h"

namespace precis {

struct TextWindow {
  std::vector<std::int32_t> ids;      // what the model reads: the begin id, where it has one, and the text
  std::vector<std::int32_t> targets;  // what follows the last targets.size() ids, each

  // Ids before targets[index].
  std::int64_t position(std::size_t index) const {
    return static_cast<std::int64_t>(ids.size() - targets.size() + index) + 1;
  }
};

struct WindowSizes {
  std::int64_t window = 0;  // ids that the model reads at once; at least 2
  std::int64_t stride = 0;  // distance of two windows' beginnings; 0: they do not overlap
  std::int64_t tokens = 0;  // targets in all, at most; 0: the whole text
};

// `begin`: what stands before a text, [bos] or nothing. Throws std::runtime_error that names the flag when the stride
// is too long, or the text has nothing to be expected.
std::vector<TextWindow> cut_text(const std::vector<std::int32_t>& text, const std::vector<std::int32_t>& begin,
                                 const WindowSizes& sizes);

// Computes one window. `take(index, logits)` gets the logits before targets[index], in order. Throws RunFailure when
// the engine fails.
void compute_window(Engine& engine, const TextWindow& window,
                    const std::function<void(std::size_t index, std::span<const float> logits)>& take);

}  // namespace precis
