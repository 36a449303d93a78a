#include "model/positions.h"

#include <algorithm>

#include "base/checked.h"

namespace precis {

std::int32_t text_position(const ModelSpec& spec, std::int64_t text) {
  const bool inner = spec.summary && spec.summary->text_positions == TextPositions::inner_chunk;
  return narrow<std::int32_t>(inner ? text % spec.chunk.text : text);
}

std::int32_t summary_position(const ModelSpec& spec, std::int64_t of, std::int64_t index) {
  const std::int64_t first = of * spec.chunk.text;
  const auto slice = [&](std::int64_t slices) {
    return narrow<std::int32_t>(std::max(first, first + slices * spec.chunk.text / spec.chunk.summary - 1));
  };
  switch (spec.summary->summary_positions) {
    case SummaryPositions::slice_right:
      return slice(index + 1);
    case SummaryPositions::slice_left:
      return slice(index);
    case SummaryPositions::zeros:
      return 0;
  }
  PRECIS_CHECK(false);
}

EntryPositions entry_positions(const ModelSpec& spec, bool summaries) {
  if (!summaries) {
    PRECIS_CHECK(!spec.summary || spec.summary->text_positions == TextPositions::origin);
    return {};
  }
  EntryPositions positions{narrow<std::int32_t>(spec.chunk.text), narrow<std::int32_t>(spec.chunk.summary), 0};
  switch (spec.summary->summary_positions) {
    case SummaryPositions::slice_right:
      positions.shift = 1;
      break;
    case SummaryPositions::slice_left:
      break;
    case SummaryPositions::zeros:
      positions.text = 0;
      break;
  }
  return positions;
}

}  // namespace precis
