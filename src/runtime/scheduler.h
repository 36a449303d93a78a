// Which sequences a step computes, and how many tokens of each: continuous batching with chunked prefill.
//
// Each step first takes one token of every sequence that decodes, then up to `piece` tokens of prompts, oldest first,
// and admits waiting sequences while there is room. When pages run out, the prefix cache gives back first; then the
// youngest running sequence is preempted: its pages are freed, and it waits, before all others, to be computed again.
// So the oldest always goes on, and an admitted sequence never fails for lack of pages.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "kv/prefix_cache.h"
#include "memory/kv_plan.h"
#include "model/model_spec.h"
#include "runtime/sequence.h"

namespace precis {

struct SchedulerOptions {
  std::int64_t piece = 512;        // text tokens of prompts a step
  std::int64_t max_sequences = 1;  // that run at once
  std::int64_t summary_delay = 0;  // complete chunks that may be owed while decoding
  bool prefix_cache = true;
  std::int64_t prefix_distance = 2048;  // tokens between snapshots in a prompt where there are windows; 0: none
  // Device::goes_by_decoded: what was decoded is marked so and computed one token a step, also after a preemption, and
  // only what was computed as a prompt is taken from the prefix cache, as part of a prompt.
  bool deterministic = false;
};

// Rows that a step can have at most under these options.
std::int64_t max_step_rows(const SchedulerOptions& options, const ChunkShape& chunk);

// Used by the engine's thread alone. Sequences are borrowed from add() until remove().
class Scheduler {
 public:
  // The spec, plan and pool outlive it.
  Scheduler(const SchedulerOptions& options, const ModelSpec& spec, const KvPlan& plan, PagePool& pool);

  // Whether a sequence of `tokens` ids could run alone.
  bool fits(std::int64_t tokens) const { return plan_.peak_pages(tokens, options_.piece) <= pool_.total_pages(); }
  // A new sequence, whose ids at their longest must fit, waits behind the others.
  void add(Sequence& sequence);
  // Takes a sequence out, in whatever state it is between steps. What it has computed goes to the prefix cache, if it
  // keeps its prefix.
  void remove(Sequence& sequence);

  // The next step; empty when there is nothing to do. Pages are taken; commit() must follow before the next call.
  const std::vector<StepItem>& next();
  // The step was computed: lengths advance, windows are trimmed.
  void commit();
  // The step could not be computed: nothing of it counts. Its sequences lose what they had and wait to be computed
  // again, unless their owner removes them.
  void abandon();

  bool idle() const { return waiting_.empty() && running_.empty(); }
  std::size_t waiting() const { return waiting_.size(); }
  std::size_t running() const { return running_.size(); }
  PrefixCache& cache() { return cache_; }

 private:
  bool admit();
  bool place(Sequence& sequence, std::int64_t texts);
  void preempt(Sequence& sequence);
  void restore(Sequence& sequence, PrefixMatch match);
  void keep_snapshot(const Sequence& sequence);
  // Whether the next step has one token of it, and not a piece of its prompt.
  bool decodes(const Sequence& sequence) const;
  std::int64_t piece_of(const Sequence& sequence) const;
  std::int64_t summarised_after(const Sequence& sequence, std::int64_t texts) const;
  KvWrite write_of(const Sequence& sequence, std::int64_t texts, std::int64_t summarised_to) const;
  bool runs(const Sequence& sequence) const;

  const SchedulerOptions options_;
  const ModelSpec& spec_;
  const KvPlan& plan_;
  PagePool& pool_;
  PrefixCache cache_;
  std::deque<Sequence*> waiting_;   // next first
  std::vector<Sequence*> running_;  // oldest first
  std::vector<StepItem> items_;     // of the step under way
  std::int64_t budget_ = 0;         // text tokens of prompts that the step can still take
};

}  // namespace precis
