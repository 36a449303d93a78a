// What a sequence's KV costs at a length: by the model's formula and in pages. The same arithmetic that the scheduler
// allocates by.
#pragma once

#include <cstdint>

#include "kv/kv_geometry.h"
#include "kv/sequence_kv.h"
#include "model/model_spec.h"
#include "precis/memory_report.h"

namespace precis {

// Of one group of layers.
struct GroupPages {
  std::int64_t text = 0;
  std::int64_t summary = 0;
};

class KvPlan {
 public:
  // `summary_delay`: complete chunks whose summaries may be owed.
  KvPlan(const ModelSpec& spec, const KvGeometry& geometry, std::int64_t summary_delay);

  // Pages that a sequence of `tokens` text tokens holds between steps.
  PageCounts pages(std::int64_t tokens) const;
  // Pages that a sequence may hold at most on its way to `tokens`, while steps add up to `piece` text tokens.
  PageCounts peak_pages(std::int64_t tokens, std::int64_t piece) const;
  // The same of one group.
  GroupPages peak_pages_of(std::size_t group, std::int64_t tokens, std::int64_t piece) const;
  // Entries below which group `group` holds nothing once the sequence has `tokens` text tokens.
  KvTrim kept_from(std::size_t group, std::int64_t tokens) const;
  // Chunks whose summaries must have been computed once the sequence has `tokens` text tokens.
  std::int64_t summaries_due(std::int64_t tokens) const;
  // The shortest length at which a sequence can set in on pages that were kept at `tokens`.
  std::int64_t lowest_restart(std::int64_t tokens) const;
  // Whether any layer gives text back.
  bool has_windows() const;

  // Formula beside what `held` (none: the plan's own pages) holds.
  KvReport report(std::int64_t tokens, const SequenceKv* held) const;

  // KV bytes by formula: KSA.md, "What must be kept".
  std::int64_t formula_bytes(std::int64_t tokens) const;

 private:
  const LayerRule& rule(std::size_t group) const;

  const ModelSpec& spec_;
  const KvGeometry& geometry_;
  std::int64_t summary_delay_;
};

}  // namespace precis
