#include "attention/selection.h"

#include "attention/visible_set.h"
#include "base/checked.h"

namespace precis {

Chosen chosen_in(const EsaRule& esa, const LayerRule& rule) {
  if (rule.sight == Sight::full) return Chosen::texts;
  return rule.sight == Sight::summary && esa.summaries ? Chosen::summaries : Chosen::none;
}

std::optional<PickRun> pick_of(const EsaRule& esa, const LayerRule& rule, const ChunkShape& chunk, std::int64_t from,
                               std::int64_t to) {
  const Chosen chosen = chosen_in(esa, rule);
  if (chosen == Chosen::none) return std::nullopt;
  const bool texts = chosen == Chosen::texts;
  const std::int64_t before = texts ? from : text_row_bounds(rule, chunk, from).summary.high;
  if (before <= esa.all()) return std::nullopt;
  const std::int64_t local = before - esa.local;
  // Local text stays in its own track.
  const std::int64_t end = texts ? local : text_row_bounds(rule, chunk, to - 1).summary.high;
  PickRun pick;
  pick.initial = narrow<std::int32_t>(esa.initial);
  pick.top = narrow<std::int32_t>(esa.top);
  pick.local = narrow<std::int32_t>(local);
  pick.end = narrow<std::int32_t>(end);
  return pick;
}

RowBounds picked_row_bounds(const PickRun& pick, const LayerRule& rule, const ChunkShape& chunk, std::int64_t text) {
  RowBounds bounds = text_row_bounds(rule, chunk, text);
  if (rule.sight == Sight::full) {
    bounds.text.low = pick.local;
    bounds.summary = {0, pick.chosen()};
  } else {
    bounds.summary.high += pick.chosen() - pick.local;
  }
  return bounds;
}

std::int64_t most_picked(const EsaRule& esa, const ChunkShape& chunk, std::int64_t rows) {
  const std::int64_t chosen = esa.initial + esa.top;
  if (!esa.summaries || !chunk.any()) return chosen;
  return chosen + esa.local + (rows / chunk.text + 1) * chunk.summary;
}

}  // namespace precis
