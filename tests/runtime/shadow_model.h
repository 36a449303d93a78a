// A model without arithmetic. Instead of K and V each entry of the pool holds a tag that says whose it is: a hash of
// the ids up to it, of its group and of its track. Whatever a row would read is held against the tag that it must find:
// a stale, foreign, missing or shared-and-overwritten entry cannot pass. In deterministic mode it says too whether it
// was decoded (RowRun), and must have been if it lies behind the reader's prompt, and not otherwise.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "memory/kv_plan.h"
#include "model/positions.h"
#include "runtime/step_builder.h"

namespace precis::test {

inline std::uint64_t scrambled(std::uint64_t value) {
  value = (value ^ (value >> 31)) * 0x9fb21c651e98df25U;
  value = (value ^ (value >> 29)) * 0xc2b2ae3d27d4eb4fU;
  return value ^ (value >> 32);
}

class ShadowModel {
 public:
  ShadowModel(const ModelSpec& spec, const KvGeometry& geometry, const PagePool& pool, bool deterministic)
      : spec_(spec),
        geometry_(geometry),
        pool_(pool),
        deterministic_(deterministic),
        memory_(static_cast<std::size_t>(pool.total_pages().all() * geometry.page_entries), 0) {}

  // Computes a step as a decoder would: copies, writes, reads. Throws Error when anything is not as it must be. The
  // result: for each item the indices of the ids whose logits it gave.
  std::vector<std::vector<std::int64_t>> compute(const std::vector<StepItem>& items) {
    const Step step = build_step(items, spec_, geometry_);
    const std::vector<Row> rows = rows_of(items);
    check_rows(step.inputs, rows);
    for (const StepItem& item : items) {
      const Sequence& sequence = *item.sequence;
      if (item.texts > 1 && is_decoded(sequence, sequence.computed + item.texts)) fail("an answer in a piece");
    }
    copy(step.inputs.copies);
    for (std::size_t group = 0; group < geometry_.groups.size(); ++group) write(step.inputs, rows, group);
    for (std::size_t group = 0; group < geometry_.groups.size(); ++group) read(step.inputs, rows, group);
    copied_ += static_cast<std::int64_t>(step.inputs.copies.size());
    return logits_of(step, items, rows);
  }

  // What the model says next: the same after the same ids.
  std::int32_t next_id(const Sequence& sequence) {
    return static_cast<std::int32_t>(hashes(sequence).back() % static_cast<std::uint64_t>(spec_.vocabulary));
  }

  void forget(const Sequence& sequence) { hashes_.erase(&sequence); }
  std::int64_t copied() const { return copied_; }
  std::int64_t copied_far() const { return copied_far_; }

 private:
  struct Row {
    const Sequence* sequence;
    bool summary;
    std::int64_t chunk;  // summary rows
    std::int64_t index;  // text: among text tokens; summary: in its chunk
  };

  std::vector<Row> rows_of(const std::vector<StepItem>& items) const {
    std::vector<Row> rows;
    for (const StepItem& item : items) {
      for (std::int64_t i = 0; i < item.texts; ++i)
        rows.push_back({item.sequence, false, 0, item.sequence->computed + i});
    }
    for (const StepItem& item : items) {
      for (std::int64_t chunk = item.sequence->summarised; chunk < item.summarised_to; ++chunk) {
        for (std::int64_t j = 0; j < spec_.chunk.summary; ++j) rows.push_back({item.sequence, true, chunk, j});
      }
    }
    return rows;
  }

  void check_rows(const StepInputs& inputs, const std::vector<Row>& rows) const {
    if (inputs.ids.size() != rows.size() || inputs.positions.size() != rows.size()) fail("{} rows", inputs.ids.size());
    const auto texts = std::count_if(rows.begin(), rows.end(), [](const Row& row) { return !row.summary; });
    if (inputs.text_rows != texts) fail("{} text rows, expected {}", inputs.text_rows, texts);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Row& row = rows[i];
      const std::int64_t id =
          row.summary ? spec_.summary->first_id + row.index : row.sequence->ids[static_cast<std::size_t>(row.index)];
      const std::int64_t position =
          row.summary ? summary_position(spec_, row.chunk, row.index) : text_position(spec_, row.index);
      if (inputs.ids[i] != id || inputs.positions[i] != position) fail("row {}: wrong id or position", i);
    }
  }

  void copy(const std::vector<PageCopy>& copies) {
    for (const PageCopy& copy : copies) {
      if (pool_.kind_of(copy.from) != pool_.kind_of(copy.to)) fail("page {} is copied to another kind", copy.from);
      if (pool_.kind_of(copy.from) == PageKind::far) ++copied_far_;
      const auto from = memory_.begin() + copy.from * geometry_.page_entries;
      std::copy(from, from + geometry_.page_entries, memory_.begin() + copy.to * geometry_.page_entries);
    }
  }

  void write(const StepInputs& inputs, const std::vector<Row>& rows, std::size_t group) {
    if (inputs.slots[group].size() != rows.size()) fail("group {}: {} slots", group, inputs.slots[group].size());
    std::vector<bool> decoded;
    for (const RowRun& run : inputs.runs[group])
      decoded.insert(decoded.end(), static_cast<std::size_t>(run.rows), run.decoded);
    if (decoded.size() != rows.size()) fail("group {}: runs cover {} of {} rows", group, decoded.size(), rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::int64_t slot = inputs.slots[group][i];
      const PageKind kind = rows[i].summary ? PageKind::near : geometry_.groups[group].text_pages;
      if (pool_.kind_of(static_cast<PageId>(slot / geometry_.page_entries)) != kind) fail("row {}: wrong kind", i);
      const std::int32_t holders = pool_.holders(static_cast<PageId>(slot / geometry_.page_entries));
      if (holders != 1) fail("row {} writes to a page that {} hold", i, holders);
      const Sequence& sequence = *rows[i].sequence;
      const std::int64_t entry = rows[i].summary ? rows[i].chunk * spec_.chunk.summary + rows[i].index : rows[i].index;
      const std::uint64_t tag =
          rows[i].summary ? summary_tag(sequence, group, entry) : text_tag(sequence, group, entry);
      memory_[static_cast<std::size_t>(slot)] = marked(tag, decoded[i]);
    }
  }

  void read(const StepInputs& inputs, const std::vector<Row>& rows, std::size_t group) {
    const auto rule = static_cast<std::size_t>(geometry_.groups[group].rule);
    std::size_t next = 0;
    for (const RowRun& run : inputs.runs[group]) {
      if (static_cast<std::size_t>(run.first_row) != next || run.rows <= 0) fail("a run begins at {}", run.first_row);
      const Sequence& sequence = *rows[next].sequence;
      for (std::int32_t i = 0; i < run.rows; ++i, ++next) {
        if (next >= rows.size() || rows[next].sequence != &sequence) fail("row {} is in a foreign run", next);
        const RowBounds& bounds = inputs.bounds[rule][next];
        const RowBounds expected = visible(spec_.rules[rule], rows[next]);
        if (!same(bounds.text, expected.text) || !same(bounds.summary, expected.summary)) fail("row {}: bounds", next);
        for (std::int32_t entry = bounds.text.low; entry < bounds.text.high; ++entry) {
          expect(run.text, sequence.kv.text(group), entry,
                 marked(text_tag(sequence, group, entry), is_decoded(sequence, entry + 1)), "text");
        }
        for (std::int32_t entry = bounds.summary.low; entry < bounds.summary.high; ++entry) {
          const std::int64_t end = (entry / spec_.chunk.summary + 1) * spec_.chunk.text;
          expect(run.summary, sequence.kv.summary(group), entry,
                 marked(summary_tag(sequence, group, entry), is_decoded(sequence, end)), "summary");
        }
      }
    }
    if (next != rows.size()) fail("group {}: runs cover {} of {} rows", group, next, rows.size());
  }

  // KSA.md, "What each token sees".
  RowBounds visible(const LayerRule& rule, const Row& row) const {
    const auto from_to = [](std::int64_t low, std::int64_t high) {
      return Bounds{static_cast<std::int32_t>(low), static_cast<std::int32_t>(high)};
    };
    const std::int64_t k = spec_.chunk.text;
    const std::int64_t s = spec_.chunk.summary;
    if (row.summary) {
      return {from_to(row.chunk * k, (row.chunk + 1) * k), from_to(row.chunk * s, row.chunk * s + row.index + 1)};
    }
    const std::int64_t end = row.index + 1;
    if (rule.sight == Sight::full) return {from_to(0, end), {}};
    if (rule.sight == Sight::window) return {from_to(std::max<std::int64_t>(0, end - rule.window), end), {}};
    const std::int64_t first = std::max<std::int64_t>(0, row.index / k - rule.window);
    return {from_to(first * k, end), from_to(0, first * s)};
  }

  static bool same(const Bounds& a, const Bounds& b) { return a == b || (a.empty() && b.empty()); }

  void expect(const TrackPages& track, const PageTable& table, std::int64_t entry, std::uint64_t tag,
              std::string_view kind) const {
    const std::int64_t index = entry / geometry_.page_entries - track.first_page;
    if (track.pages != table.pages().data() || index < 0 || index >= static_cast<std::int64_t>(table.pages().size())) {
      fail("{} entry {} is not held", kind, entry);
    }
    const std::int64_t slot = track.pages[index] * geometry_.page_entries + entry % geometry_.page_entries;
    if (memory_[static_cast<std::size_t>(slot)] != tag) fail("{} entry {} holds something else", kind, entry);
  }

  std::vector<std::vector<std::int64_t>> logits_of(const Step& step, const std::vector<StepItem>& items,
                                                   const std::vector<Row>& rows) const {
    if (step.logits.size() != step.inputs.logit_rows.size()) fail("{} logit rows", step.logits.size());
    std::vector<std::vector<std::int64_t>> logits(items.size());
    for (std::size_t i = 0; i < step.logits.size(); ++i) {
      const auto row = static_cast<std::size_t>(step.inputs.logit_rows[i]);
      if (i > 0 && step.inputs.logit_rows[i - 1] >= step.inputs.logit_rows[i]) fail("logit rows do not ascend");
      const LogitRow& of = step.logits[i];
      if (rows[row].sequence != items[of.item].sequence || rows[row].summary || rows[row].index != of.index) {
        fail("logits of index {} come from row {}", of.index, row);
      }
      logits[of.item].push_back(of.index);
    }
    return logits;
  }

  const std::vector<std::uint64_t>& hashes(const Sequence& sequence) {
    std::vector<std::uint64_t>& known = hashes_[&sequence];
    while (known.size() < sequence.ids.size()) {
      const auto id = static_cast<std::uint64_t>(sequence.ids[known.size()]);
      known.push_back(scrambled((known.empty() ? 1 : known.back()) * 31 + id));
    }
    return known;
  }

  // Whether what ends with text token `end` - 1 is not of the prompt.
  bool is_decoded(const Sequence& sequence, std::int64_t end) const { return deterministic_ && end > sequence.prompt; }
  static std::uint64_t marked(std::uint64_t tag, bool decoded) { return decoded ? ~tag : tag; }

  std::uint64_t text_tag(const Sequence& sequence, std::size_t group, std::int64_t entry) {
    return scrambled(hashes(sequence)[static_cast<std::size_t>(entry)] + 2 * group);
  }

  std::uint64_t summary_tag(const Sequence& sequence, std::size_t group, std::int64_t entry) {
    const std::int64_t last_text = (entry / spec_.chunk.summary + 1) * spec_.chunk.text - 1;
    const auto j = static_cast<std::uint64_t>(entry % spec_.chunk.summary);
    return scrambled(hashes(sequence)[static_cast<std::size_t>(last_text)] + 2 * group + 1 + (j << 32));
  }

  const ModelSpec& spec_;
  const KvGeometry& geometry_;
  const PagePool& pool_;
  const bool deterministic_;
  std::vector<std::uint64_t> memory_;  // [pages * page_entries]
  std::map<const Sequence*, std::vector<std::uint64_t>> hashes_;
  std::int64_t copied_ = 0;
  std::int64_t copied_far_ = 0;
};

}  // namespace precis::test
