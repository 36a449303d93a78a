#include "memory/kv_plan.h"

#include <algorithm>
#include <array>
#include <limits>

#include "attention/visible_set.h"

namespace precis {
namespace {

std::int64_t pages_between(std::int64_t from, std::int64_t to, std::int64_t page_entries) {
  return from > to ? 0 : (to + page_entries - 1) / page_entries - from / page_entries;
}

// Pages that `entries` consecutive entries can touch at most, wherever they begin.
std::int64_t pages_touched(std::int64_t entries, std::int64_t page_entries) {
  return entries <= 0 ? 0 : (entries - 1 + page_entries - 1) / page_entries + 1;
}

}  // namespace

KvPlan::KvPlan(const ModelSpec& spec, const KvGeometry& geometry, std::int64_t summary_delay)
    : spec_(spec), geometry_(geometry), summary_delay_(summary_delay) {}

const LayerRule& KvPlan::rule(std::size_t group) const {
  return spec_.rules[static_cast<std::size_t>(geometry_.groups[group].rule)];
}

KvTrim KvPlan::kept_from(std::size_t group, std::int64_t tokens) const {
  const LayerRule& of = rule(group);
  return {text_kept_from(of, spec_.chunk, tokens), keeps_summaries(of) ? 0 : std::numeric_limits<std::int64_t>::max()};
}

PageCounts KvPlan::pages(std::int64_t tokens) const {
  const std::int64_t summaries = spec_.chunk.complete(tokens) * spec_.chunk.summary;
  PageCounts pages;
  for (std::size_t group = 0; group < geometry_.groups.size(); ++group) {
    pages.of(geometry_.groups[group].text_pages) +=
        pages_between(kept_from(group, tokens).text_from, tokens, geometry_.page_entries);
    if (keeps_summaries(rule(group))) pages.near += pages_between(0, summaries, geometry_.page_entries);
  }
  return pages;
}

GroupPages KvPlan::peak_pages_of(std::size_t group, std::int64_t tokens, std::int64_t piece) const {
  const std::int64_t entries = geometry_.page_entries;
  const ChunkShape& chunk = spec_.chunk;
  const LayerRule& of = rule(group);
  const std::int64_t step = std::min(piece, tokens);
  const std::int64_t all = pages_between(0, tokens, entries);
  const std::int64_t window = of.sight == Sight::summary ? (of.window + 1) * chunk.text : of.window;
  GroupPages pages{.text = of.sight == Sight::full ? all : std::min(all, pages_touched(window + step, entries))};
  if (!chunk.any()) return pages;
  const std::int64_t all_summaries = pages_between(0, chunk.complete(tokens) * chunk.summary, entries);
  const std::int64_t passing = (step / chunk.text + 1 + summary_delay_) * chunk.summary;
  pages.summary = keeps_summaries(of) ? all_summaries : std::min(all_summaries, pages_touched(passing, entries));
  return pages;
}

PageCounts KvPlan::peak_pages(std::int64_t tokens, std::int64_t piece) const {
  PageCounts pages;
  for (std::size_t group = 0; group < geometry_.groups.size(); ++group) {
    const GroupPages of = peak_pages_of(group, tokens, piece);
    pages.of(geometry_.groups[group].text_pages) += of.text;
    pages.near += of.summary;
  }
  return pages;
}

std::int64_t KvPlan::summaries_due(std::int64_t tokens) const {
  std::int64_t due = 0;
  for (const LayerRule& of : spec_.rules) due = std::max(due, precis::summaries_due(of, spec_.chunk, tokens));
  return due;
}

std::int64_t KvPlan::lowest_restart(std::int64_t tokens) const {
  // Text begins at the same entry from here to `tokens`: text_kept_from never falls, so the place is found by halving.
  std::int64_t low = 0;
  for (const LayerRule& of : spec_.rules) {
    const std::int64_t kept = text_kept_from(of, spec_.chunk, tokens);
    std::int64_t high = tokens;
    while (low < high) {
      const std::int64_t middle = low + (high - low) / 2;
      if (text_kept_from(of, spec_.chunk, middle) == kept) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
  }
  return low;
}

bool KvPlan::has_windows() const {
  return std::any_of(spec_.rules.begin(), spec_.rules.end(),
                     [](const LayerRule& of) { return of.sight != Sight::full; });
}

KvReport KvPlan::report(std::int64_t tokens, const SequenceKv* held) const {
  KvReport report;
  report.tokens = tokens;
  report.page_bytes = geometry_.page_bytes();
  report.page_entries = geometry_.page_entries;
  PageCounts all;
  std::array<KvKind, 3> kinds;
  kinds[0].name = "text in full layers";
  kinds[1].name = "text in windows";
  kinds[2].name = "summaries";
  const std::int64_t layers = geometry_.layers_per_group();
  const std::int64_t summaries = spec_.chunk.complete(tokens) * spec_.chunk.summary;
  const auto add = [&](KvKind& kind, PageKind of, std::int64_t from, std::int64_t to, const PageTable* table) {
    const std::int64_t pages = table != nullptr ? static_cast<std::int64_t>(table->pages().size())
                                                : pages_between(from, to, geometry_.page_entries);
    kind.layers += layers;
    kind.entries += layers * (to - from);
    kind.held_entries += layers * pages * geometry_.page_entries;
    all.of(of) += pages;
  };
  for (std::size_t group = 0; group < geometry_.groups.size(); ++group) {
    KvKind& text = kinds[rule(group).sight == Sight::full ? 0 : 1];
    text.far |= geometry_.groups[group].text_pages == PageKind::far;
    add(text, geometry_.groups[group].text_pages, kept_from(group, tokens).text_from, tokens,
        held != nullptr ? &held->text(group) : nullptr);
    if (!keeps_summaries(rule(group))) continue;
    add(kinds[2], PageKind::near, 0, summaries, held != nullptr ? &held->summary(group) : nullptr);
  }
  report.device_bytes = geometry_.device_bytes(all);
  report.far_bytes = geometry_.far_bytes(all);
  report.held_bytes = report.device_bytes + report.far_bytes;
  const bool selects[] = {spec_.esa.has_value(), false, spec_.esa && spec_.esa->summaries};
  for (KvKind& kind : kinds) {
    if (kind.layers == 0) continue;
    kind.short_bytes = selects[&kind - kinds.data()] ? geometry_.short_bytes() : 0;
    kind.entry_bytes = geometry_.entry_bytes() + kind.short_bytes;
    report.formula_bytes += kind.entries * kind.entry_bytes;
    report.kinds.push_back(kind);
  }
  report.full_bytes = spec_.layers * tokens * geometry_.entry_bytes();
  return report;
}

std::int64_t KvPlan::formula_bytes(std::int64_t tokens) const {
  return report(tokens, nullptr).formula_bytes;
}

}  // namespace precis
