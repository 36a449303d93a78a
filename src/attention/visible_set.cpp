#include "attention/visible_set.h"

#include <algorithm>

#include "base/checked.h"

namespace precis {
namespace {

Bounds bounds(std::int64_t low, std::int64_t high) {
  return {narrow<std::int32_t>(low), narrow<std::int32_t>(high)};
}

// The first chunk whose text a text token of chunk `of` sees.
std::int64_t first_chunk(const LayerRule& rule, std::int64_t of) {
  return std::max<std::int64_t>(0, of - rule.window);
}

}  // namespace

RowBounds text_row_bounds(const LayerRule& rule, const ChunkShape& chunk, std::int64_t text) {
  const std::int64_t from = text_kept_from(rule, chunk, text);
  if (rule.sight != Sight::summary) return {bounds(from, text + 1), {}};
  return {bounds(from, text + 1), bounds(0, first_chunk(rule, text / chunk.text) * chunk.summary)};
}

RowBounds summary_row_bounds(const ChunkShape& chunk, std::int64_t of, std::int64_t index) {
  return {bounds(of * chunk.text, (of + 1) * chunk.text), bounds(of * chunk.summary, of * chunk.summary + index + 1)};
}

std::int64_t text_kept_from(const LayerRule& rule, const ChunkShape& chunk, std::int64_t tokens) {
  switch (rule.sight) {
    case Sight::full:
      return 0;
    case Sight::window:
      return std::max<std::int64_t>(0, tokens + 1 - rule.window);
    case Sight::summary:
      return first_chunk(rule, tokens / chunk.text) * chunk.text;
  }
  PRECIS_CHECK(false);
}

bool keeps_summaries(const LayerRule& rule) {
  return rule.sight == Sight::summary;
}

std::int64_t summaries_due(const LayerRule& rule, const ChunkShape& chunk, std::int64_t tokens) {
  return rule.sight == Sight::summary ? first_chunk(rule, tokens / chunk.text) : 0;
}

}  // namespace precis
