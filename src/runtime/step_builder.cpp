#include "runtime/step_builder.h"

#include <algorithm>

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
  }

  void add_texts(std::size_t of, const StepItem& item) {
    const Sequence& sequence = *item.sequence;
    begin_runs(sequence, sequence.computed, sequence.computed + item.texts, item.decoded_from, 1);
    for (std::int64_t text = sequence.computed; text < sequence.computed + item.texts; ++text) {
      const bool last = text + 1 == sequence.length();
      if (last || sequence.all_logits) {
        inputs().logit_rows.push_back(narrow<std::int32_t>(inputs().rows()));
        step_.logits.push_back({of, text});
      }
      const auto index = static_cast<std::size_t>(text);
      inputs().ids.push_back(index < sequence.ids.size() ? sequence.ids[index] : unseen_id(sequence.unseen_row));
      inputs().positions.push_back(text_position(spec_, text));
      for (std::size_t rule = 0; rule < spec_.rules.size(); ++rule) {
        inputs().bounds[rule].push_back(text_row_bounds(spec_.rules[rule], spec_.chunk, text));
      }
      for (std::size_t group = 0; group < geometry_.groups.size(); ++group) {
        inputs().slots[group].push_back(sequence.kv.text(group).slot(text));
      }
    }
    inputs().text_rows = inputs().rows();
    inputs().copies.insert(inputs().copies.end(), item.copies.begin(), item.copies.end());
  }

  void add_summaries(const StepItem& item) {
    const Sequence& sequence = *item.sequence;
    if (item.summarised_to == sequence.summarised) return;
    begin_runs(sequence, sequence.summarised, item.summarised_to, spec_.chunk.complete(item.decoded_from),
               spec_.chunk.summary);
    for (std::int64_t of = sequence.summarised; of < item.summarised_to; ++of) {
      for (std::int64_t index = 0; index < spec_.chunk.summary; ++index) add_summary(sequence, of, index);
    }
  }

  Step take() { return std::move(step_); }

 private:
  StepInputs& inputs() { return step_.inputs; }

  void add_summary(const Sequence& sequence, std::int64_t of, std::int64_t index) {
    inputs().ids.push_back(narrow<std::int32_t>(spec_.summary->first_id + index));
    inputs().positions.push_back(summary_position(spec_, of, index));
    for (auto& bounds : inputs().bounds) bounds.push_back(summary_row_bounds(spec_.chunk, of, index));
    for (std::size_t group = 0; group < geometry_.groups.size(); ++group) {
      inputs().slots[group].push_back(sequence.kv.summary(group).slot(of * spec_.chunk.summary + index));
    }
  }

  // Of tokens, or chunks, [from, to), each of which has `rows_each` rows: those from `decoded_from` on have a run of
  // their own.
  void begin_runs(const Sequence& sequence, std::int64_t from, std::int64_t to, std::int64_t decoded_from,
                  std::int64_t rows_each) {
    const std::int64_t cut = std::clamp(decoded_from, from, to);
    const std::int64_t prompt_rows = (cut - from) * rows_each;
    if (cut > from) begin_run(sequence, inputs().rows(), prompt_rows, false);
    if (to > cut) begin_run(sequence, inputs().rows() + prompt_rows, (to - cut) * rows_each, true);
  }

  void begin_run(const Sequence& sequence, std::int64_t first_row, std::int64_t rows, bool decoded) {
    const auto track = [](const PageTable& table) {
      return TrackPages{table.pages().data(), narrow<std::int32_t>(table.first_page()),
                        narrow<std::int32_t>(table.pages().size())};
    };
    for (std::size_t group = 0; group < geometry_.groups.size(); ++group) {
      inputs().runs[group].push_back({.first_row = narrow<std::int32_t>(first_row),
                                      .rows = narrow<std::int32_t>(rows),
                                      .text = track(sequence.kv.text(group)),
                                      .summary = track(sequence.kv.summary(group)),
                                      .decoded = decoded});
    }
  }

  const ModelSpec& spec_;
  const KvGeometry& geometry_;
  Step step_;
};

}  // namespace

Step build_step(std::span<const StepItem> items, const ModelSpec& spec, const KvGeometry& geometry) {
  StepBuilder builder(spec, geometry);
  for (std::size_t index = 0; index < items.size(); ++index) builder.add_texts(index, items[index]);
  for (const StepItem& item : items) builder.add_summaries(item);
  return builder.take();
}

}  // namespace precis
