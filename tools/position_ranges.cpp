#include "position_ranges.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <stdexcept>

namespace precis {

PositionRanges::PositionRanges(std::vector<std::int64_t> bounds) : bounds_(std::move(bounds)) {
  if (bounds_.size() < 2) throw std::runtime_error("--ranges: one bound given, at least two expected, such as 0,4k,8k");
  const auto fault = std::adjacent_find(bounds_.begin(), bounds_.end(), std::greater_equal<>());
  if (fault != bounds_.end()) {
    throw std::runtime_error(fmt::format("--ranges: {} given behind {}, more expected", fault[1], fault[0]));
  }
}

std::optional<std::size_t> PositionRanges::of(std::int64_t position) const {
  if (bounds_.empty()) return 0;
  const auto above = std::upper_bound(bounds_.begin(), bounds_.end(), position);
  if (above == bounds_.begin() || above == bounds_.end()) return std::nullopt;
  return static_cast<std::size_t>(above - bounds_.begin()) - 1;
}

}  // namespace precis
