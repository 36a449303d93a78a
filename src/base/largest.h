// The place of the largest of many floats.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <span>

namespace precis {

// In lanes, so that the compiler makes vectors of it: over 150,000 logits std::max_element takes 1 % of a step.
inline float largest_of(std::span<const float> values) {
  std::array<float, 32> lanes;
  lanes.fill(-std::numeric_limits<float>::infinity());
  std::size_t i = 0;
  for (; i + lanes.size() <= values.size(); i += lanes.size()) {
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
      lanes[lane] = values[i + lane] > lanes[lane] ? values[i + lane] : lanes[lane];
    }
  }
  for (; i < values.size(); ++i) lanes[0] = values[i] > lanes[0] ? values[i] : lanes[0];
  return *std::max_element(lanes.begin(), lanes.end());
}

// Index of the first of the largest, those that are no numbers aside; 0 where all are none.
inline std::int32_t index_of_largest(std::span<const float> values) {
  const auto found = std::find(values.begin(), values.end(), largest_of(values));
  return found == values.end() ? 0 : static_cast<std::int32_t>(found - values.begin());
}

}  // namespace precis
