// Tokens sorted by how many ids stand before them: what a model expects far inside a text, beside what it expects
// early.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace precis {

class PositionRanges {
 public:
  // One that holds every position.
  PositionRanges() = default;
  // From each bound to below the next. Throws std::runtime_error that names --ranges when there are fewer than two, or
  // they do not ascend.
  explicit PositionRanges(std::vector<std::int64_t> bounds);

  std::size_t count() const { return bounds_.empty() ? 1 : bounds_.size() - 1; }
  // That `position` is in; nothing: in none.
  std::optional<std::size_t> of(std::int64_t position) const;
  // Lowest position and the one behind the highest; only of bounds.
  std::pair<std::int64_t, std::int64_t> bounds(std::size_t range) const { return {bounds_[range], bounds_[range + 1]}; }
  // There is something to tell apart.
  bool any() const { return !bounds_.empty(); }

 private:
  std::vector<std::int64_t> bounds_;
};

}  // namespace precis
