#include "runtime/step_builder.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "attention/visible_set.h"
#include "base/checked.h"
#include "model/positions.h"

namespace precis {
namespace {

class StepBuilder {
 public:
  StepBuilder(const ModelSpec& spec, const KvGeometry& geometry) : spec_(spec), geometry_(geometry) {
    step_.inputs.bounds.resize(spec.rules.size());
    step_.inputs.slots.resize(geometry.groups.size());
    step_.inputs.runs.resize(geometry.groups.size());
    step_.inputs.picks.resize(geometry.groups.size());
    picked_.resize(geometry.groups.size());
    picks_.resize(spec.rules.size());
  }

  void add_texts(std::size_t of, const StepItem& item) {
    const Sequence& sequence = *item.sequence;
    const std::int64_t to = sequence.computed + item.texts;
    const std::int64_t cut = std::clamp(item.decoded_from, sequence.computed, to);
    add_text_run(of, sequence, sequence.computed, cut, false);
    add_text_run(of, sequence, cut, to, true);
    inputs().text_rows = inputs().rows();
    inputs().copies.insert(inputs().copies.end(), item.copies.begin(), item.copies.end());
  }

  void add_summaries(const StepItem& item) {
    const Sequence& sequence = *item.sequence;
    if (item.summarised_to == sequence.summarised) return;
    const std::int64_t cut =
        std::clamp(spec_.chunk.complete(item.decoded_from), sequence.summarised, item.summarised_to);
    add_summary_run(sequence, sequence.summarised, cut, false);
    add_summary_run(sequence, cut, item.summarised_to, true);
  }

  Step take() {
    place_picked_pages();
    return std::move(step_);
  }

 private:
  StepInputs& inputs() { return step_.inputs; }

  // Text rows [from, to): those that are decoded have a run of their own.
  void add_text_run(std::size_t of, const Sequence& sequence, std::int64_t from, std::int64_t to, bool decoded) {
    if (from == to) return;
    begin_run(sequence, to - from, decoded);
    begin_picks(sequence, from, to);
    for (std::int64_t text = from; text < to; ++text) add_text(of, sequence, text);
  }

  void add_text(std::size_t of, const Sequence& sequence, std::int64_t text) {
    const bool last = text + 1 == sequence.length();
    if (last || sequence.all_logits) {
      inputs().logit_rows.push_back(narrow<std::int32_t>(inputs().rows()));
      step_.logits.push_back({of, text});
    }
    const auto index = static_cast<std::size_t>(text);
    inputs().ids.push_back(index < sequence.ids.size() ? sequence.ids[index] : unseen_id(sequence.unseen_row));
    inputs().positions.push_back(text_position(spec_, text));
    for (std::size_t rule = 0; rule < spec_.rules.size(); ++rule) {
      inputs().bounds[rule].push_back(picks_[rule]
                                          ? picked_row_bounds(*picks_[rule], spec_.rules[rule], spec_.chunk, text)
                                          : text_row_bounds(spec_.rules[rule], spec_.chunk, text));
    }
    for (std::size_t group = 0; group < geometry_.groups.size(); ++group) {
      inputs().slots[group].push_back(sequence.kv.text(group).slot(text));
    }
  }

  // The summary rows of chunks [from, to), likewise.
  void add_summary_run(const Sequence& sequence, std::int64_t from, std::int64_t to, bool decoded) {
    if (from == to) return;
    begin_run(sequence, (to - from) * spec_.chunk.summary, decoded);
    for (std::int64_t of = from; of < to; ++of) {
      for (std::int64_t index = 0; index < spec_.chunk.summary; ++index) add_summary(sequence, of, index);
    }
  }

  void add_summary(const Sequence& sequence, std::int64_t of, std::int64_t index) {
    inputs().ids.push_back(narrow<std::int32_t>(spec_.summary->first_id + index));
    inputs().positions.push_back(summary_position(spec_, of, index));
    for (auto& bounds : inputs().bounds) bounds.push_back(summary_row_bounds(spec_.chunk, of, index));
    for (std::size_t group = 0; group < geometry_.groups.size(); ++group) {
      inputs().slots[group].push_back(sequence.kv.summary(group).slot(of * spec_.chunk.summary + index));
    }
  }

  static TrackPages track(const PageTable& table) {
    return {table.pages().data(), narrow<std::int32_t>(table.first_page()), narrow<std::int32_t>(table.pages().size())};
  }

  void begin_run(const Sequence& sequence, std::int64_t rows, bool decoded) {
    for (std::size_t group = 0; group < geometry_.groups.size(); ++group) {
      inputs().runs[group].push_back({.first_row = narrow<std::int32_t>(inputs().rows()),
                                      .rows = narrow<std::int32_t>(rows),
                                      .text = track(sequence.kv.text(group)),
                                      .summary = track(sequence.kv.summary(group)),
                                      .decoded = decoded});
    }
  }

  // What the run begun last picks, text rows [from, to): its picked pages take the place of its summary track.
  void begin_picks(const Sequence& sequence, std::int64_t from, std::int64_t to) {
    if (!spec_.esa) return;
    for (std::size_t rule = 0; rule < spec_.rules.size(); ++rule) {
      picks_[rule] = pick_of(*spec_.esa, spec_.rules[rule], spec_.chunk, from, to);
    }
    for (std::size_t group = 0; group < geometry_.groups.size(); ++group) {
      const auto& pick = picks_[static_cast<std::size_t>(geometry_.groups[group].rule)];
      if (pick) add_pick(sequence, group, *pick, from);
    }
  }

  void add_pick(const Sequence& sequence, std::size_t group, PickRun pick, std::int64_t from) {
    const LayerRule& rule = spec_.rules[static_cast<std::size_t>(geometry_.groups[group].rule)];
    const bool texts = chosen_in(*spec_.esa, rule) == Chosen::texts;
    RowRun& run = inputs().runs[group].back();
    pick.first_row = run.first_row;
    pick.rows = run.rows;
    pick.track = track(texts ? sequence.kv.text(group) : sequence.kv.summary(group));
    pick.first_page = narrow<std::int32_t>(picked_[group]);
    pick.distance = narrow<std::int32_t>(texts ? from - pick.local : 0);
    const std::int64_t pages = (pick.count() + geometry_.page_entries - 1) / geometry_.page_entries;
    picked_[group] += pages;
    run.summary = {nullptr, 0, narrow<std::int32_t>(pages)};  // see place_picked_pages()
    run.picked = true;
    inputs().picks[group].push_back(pick);
  }

  // Once all are known: page i of those that are picked into has number i.
  void place_picked_pages() {
    std::vector<std::int32_t>& pages = inputs().picked_pages;
    pages.resize(static_cast<std::size_t>(*std::ranges::max_element(picked_)));
    std::iota(pages.begin(), pages.end(), 0);
    for (std::size_t group = 0; group < geometry_.groups.size(); ++group) {
      auto pick = inputs().picks[group].begin();
      for (RowRun& run : inputs().runs[group]) {
        if (run.picked) run.summary.pages = pages.data() + (pick++)->first_page;
      }
    }
  }

  const ModelSpec& spec_;
  const KvGeometry& geometry_;
  Step step_;
  std::vector<std::int64_t> picked_;           // [groups]: pages that runs pick into, so far
  std::vector<std::optional<PickRun>> picks_;  // [rules]: of the text run begun last
};

}  // namespace

Step build_step(std::span<const StepItem> items, const ModelSpec& spec, const KvGeometry& geometry) {
  StepBuilder builder(spec, geometry);
  for (std::size_t index = 0; index < items.size(); ++index) builder.add_texts(index, items[index]);
  for (const StepItem& item : items) builder.add_summaries(item);
  return builder.take();
}

}  // namespace precis
