#include "memory/cost_plan.h"

#include <algorithm>

#include "attention/visible_set.h"

namespace precis {

CostPlan::CostPlan(const ModelSpec& spec, const KvGeometry& geometry, const WeightReads& weights)
    : spec_(spec),
      weights_(weights),
      entry_bytes_(geometry.entry_bytes()),
      short_bytes_(geometry.short_bytes()),
      layers_of_rule_(spec.rules.size()) {
  for (const std::int32_t rule : spec.rule_of_layer) ++layers_of_rule_[static_cast<std::size_t>(rule)];
}

StepCost CostPlan::prompt(std::int64_t depth, std::int64_t tokens, std::int64_t piece) const {
  StepCost cost;
  const std::int64_t end = depth + tokens;
  for (std::int64_t from = depth; from < end; from += piece) {
    const std::int64_t to = std::min(from + piece, end);
    const Rows step{from, to, to == end};
    cost += rows(step);
    cost.bytes += weight_bytes(step);
  }
  return cost;
}

StepCost CostPlan::answer(std::int64_t depth, std::int64_t tokens, std::int64_t sequences) const {
  StepCost cost;
  for (std::int64_t at = depth; at < depth + tokens; ++at) {
    const Rows step{at, at + 1, true};
    const StepCost one = rows(step);
    const auto times = static_cast<double>(sequences);
    cost += {one.bytes * times + weight_bytes(step), one.flops * times};
  }
  return cost;
}

StepCost CostPlan::rows(const Rows& rows) const {
  StepCost cost{0, products(rows)};
  for (std::size_t rule = 0; rule < spec_.rules.size(); ++rule) {
    StepCost layer = attention(rows, spec_.rules[rule]);
    if (spec_.esa) layer += selection(rows, spec_.rules[rule]);
    const auto layers = static_cast<double>(layers_of_rule_[rule]);
    cost += {layer.bytes * layers, layer.flops * layers};
  }
  return cost;
}

StepCost CostPlan::attention(const Rows& rows, const LayerRule& rule) const {
  const ChunkShape& chunk = spec_.chunk;
  const auto size = [](const Bounds& bounds) { return std::max<std::int64_t>(bounds.high - bounds.low, 0); };
  // Rows that follow each other see intervals whose ends never fall: what any of them sees is one interval, too.
  const auto pick = spec_.esa ? pick_of(*spec_.esa, rule, chunk, rows.from, rows.to) : std::nullopt;
  const auto bounds_of = [&](std::int64_t text) {
    return pick ? picked_row_bounds(*pick, rule, chunk, text) : text_row_bounds(rule, chunk, text);
  };
  const RowBounds first = bounds_of(rows.from);
  const RowBounds last = bounds_of(rows.to - 1);
  std::int64_t read = last.text.high - first.text.low + size(last.summary);
  std::int64_t seen = 0;  // by all rows together
  for (std::int64_t text = rows.from; text < rows.to; ++text) {
    const RowBounds bounds = bounds_of(text);
    seen += size(bounds.text) + size(bounds.summary);
  }
  // A summary row's chunk ends in this step, so the text that it sees is among what the text rows see.
  for (std::int64_t of = chunk.complete(rows.from); of < chunk.complete(rows.to); ++of) {
    for (std::int64_t index = 0; index < chunk.summary; ++index) {
      const RowBounds bounds = summary_row_bounds(chunk, of, index);
      seen += size(bounds.text) + size(bounds.summary);
      if (bounds.summary.high > last.summary.high) ++read;  // itself
    }
  }
  const auto a_pair = static_cast<double>(2 * 2 * spec_.heads * spec_.head_dim);  // score and sum, multiply and add
  return {static_cast<double>(read * entry_bytes_), static_cast<double>(seen) * a_pair};
}

StepCost CostPlan::selection(const Rows& rows, const LayerRule& rule) const {
  const Chosen chosen = chosen_in(*spec_.esa, rule);
  if (chosen == Chosen::none) return {};
  const std::int64_t texts = rows.to - rows.from;
  const std::int64_t keys = chosen == Chosen::texts ? texts : summary_rows(rows);
  const auto a_short = static_cast<double>(2 * spec_.esa->dim * spec_.kv_heads * spec_.head_dim);
  StepCost cost{0, static_cast<double>(keys) * a_short};
  const auto pick = pick_of(*spec_.esa, rule, spec_.chunk, rows.from, rows.to);
  if (!pick) return cost;
  cost.flops += static_cast<double>(texts) * (a_short + static_cast<double>(2 * pick->middle() * spec_.esa->dim));
  // Reads alone are counted, as everywhere: k', and K and V on their way to where attention reads them.
  cost.bytes += static_cast<double>(pick->middle() * short_bytes_ + pick->count() * entry_bytes_);
  return cost;
}

double CostPlan::products(const Rows& rows) const {
  const std::int64_t texts = rows.to - rows.from;
  const std::int64_t summaries = summary_rows(rows);
  const std::int64_t logits = rows.logits ? 1 : 0;
  const std::int64_t qkv = spec_.hidden * spec_.qkv_width();
  const std::int64_t rest = spec_.heads * spec_.head_dim * spec_.hidden + 3 * spec_.hidden * spec_.ffn;
  const bool blends = spec_.summary && spec_.summary->own_projections && spec_.summary->mix != 1;
  const std::int64_t qkv_rows = texts + (blends ? 2 : 1) * summaries;
  // Past the last layer's attention only rows whose logits are wanted go on.
  const std::int64_t rest_rows = (spec_.layers - 1) * (texts + summaries) + logits;
  return 2 * (static_cast<double>(spec_.layers * qkv_rows) * static_cast<double>(qkv) +
              static_cast<double>(rest_rows) * static_cast<double>(rest) +
              static_cast<double>(logits * spec_.vocabulary * spec_.hidden));
}

double CostPlan::weight_bytes(const Rows& rows) const {
  const std::int64_t summaries = summary_rows(rows) > 0 ? weights_.summaries : 0;
  return static_cast<double>(weights_.always + summaries + (rows.logits ? weights_.logits : 0));
}

std::int64_t CostPlan::summary_rows(const Rows& rows) const {
  return (spec_.chunk.complete(rows.to) - spec_.chunk.complete(rows.from)) * spec_.chunk.summary;
}

}  // namespace precis
