// Which sequences a step computes, and how many tokens of each: continuous batching with chunked prefill.
//
// Each step first takes one token of every sequence that decodes, then up to `piece` tokens of prompts, oldest first,
// and admits waiting sequences while there is room. When pages run out, the prefix cache gives back first; then the
// youngest running sequence is preempted: its pages are freed, and it waits, before all others, to be computed again.
// So the oldest always goes on, and an admitted sequence never fails for lack of pages.
//
// A step may be followed by another one before anybody has seen its ids (run_ahead). All operations of a device take
// effect in the order of their calls, so a page may be given back, taken, shared or copied as soon as the operations
// that read and wrote it for its last holder have been called: what its next holder calls comes after them. Only a
// failure can undo what was called. Therefore no snapshot holds what a step under way computes, and when a step fails,
// the sequences of the one that ran ahead of it, which are the same, lose what they had.
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
  // Models that select: pieces are cut at the same places too.
  bool deterministic = false;
  PrefixBudget prefix_budget = {};  // of the prefix cache
};

// Rows that a step can have at most under these options.
std::int64_t max_step_rows(const SchedulerOptions& options, const ChunkShape& chunk);

// Used by the engine's thread alone. Sequences are borrowed from add() until remove().
class Scheduler {
 public:
  // The spec, plan and pool outlive it.
  Scheduler(const SchedulerOptions& options, const ModelSpec& spec, const KvPlan& plan, PagePool& pool);

  // Whether a sequence of `tokens` ids could run alone.
  bool fits(std::int64_t tokens) const { return plan_.peak_pages(tokens, options_.piece).within(pool_.total_pages()); }
  // A new sequence, whose ids at their longest must fit, waits behind the others.
  void add(Sequence& sequence);
  // Takes a sequence out, in whatever state it is between steps. What it has computed goes to the prefix cache, if it
  // keeps its prefix. It must not be part of a step under way: see withdraw().
  void remove(Sequence& sequence);

  // The next step; empty when there is nothing to do. Pages are taken; commit() must follow before the next call.
  const std::vector<StepItem>& next();
  // The step was computed: lengths advance, windows are trimmed.
  void commit();
  // Commits a step that was called and whose ids nobody has seen, each the id that a logit row of the step draws
  // (Sequence::unseen_row), and chooses the next one, in which every sequence goes on by its unseen id. Empty, and
  // nothing has changed, where next() might choose otherwise once the ids are seen and all sequences go on, or where
  // pages would have to be fetched from others. The step must have the sequences' owners' word that they can go on.
  const std::vector<StepItem>& run_ahead();
  // Takes a sequence out of the step under way, which was called: what that computes for it does not count. It holds
  // the pages that it held before.
  void withdraw(Sequence& sequence);
  // The step could not be computed: nothing of it counts. Its sequences lose what they had and wait to be computed
  // again, unless their owner removes them.
  void abandon();

  bool idle() const { return waiting_.empty() && running_.empty(); }
  std::size_t waiting() const { return waiting_.size(); }
  std::size_t running() const { return running_.size(); }
  PrefixCache& cache() { return cache_; }
  // Of all sequences so far.
  std::int64_t preemptions() const { return preemptions_; }
  // Whether so many pages are free, or would be without the prefix cache.
  bool has_room(const PageCounts& pages) const;
  // Has the cache drop what was not used for longest until so many pages are free. There must be room.
  void make_room(const PageCounts& pages);

 private:
  // How far a sequence is computed: Sequence's fields.
  struct Progress {
    std::int64_t computed;
    std::int64_t summarised;
  };

  bool admit();
  // Whether next() might admit somebody.
  bool may_admit() const;
  bool can_run_ahead() const;
  bool place(Sequence& sequence, std::int64_t texts);
  void preempt(Sequence& sequence);
  void restore(Sequence& sequence, PrefixMatch match);
  // Of what it has computed; a later sequence can set in at `restart` tokens too. It has not been trimmed to more.
  void keep_snapshot(const Sequence& sequence, std::int64_t restart);
  // Whether the next step has one token of it, and not a piece of its prompt.
  bool decodes(const Sequence& sequence) const;
  // 0: a piece that may not be cut has to wait for a step with more room.
  std::int64_t piece_of(const Sequence& sequence) const;
  // Whether the ends of a sequence's pieces change what it computes: their rows select together.
  bool selects(std::int64_t tokens) const { return spec_.esa && tokens > spec_.esa->all(); }
  // Of a cached prefix, so much that the next piece begins where it would without; nothing where that cannot be had.
  std::optional<PrefixMatch> at_piece(PrefixMatch match) const;
  // Chunks whose summaries are there after a step of `texts` texts.
  std::int64_t summarised_after(const Progress& before, std::int64_t texts) const;
  KvWrite write_of(const Progress& before, std::int64_t texts) const;
  // Gives back what rows at this length and later ones do not see.
  void trim(Sequence& sequence) const;
  // Whether a snapshot is kept once the item's step is committed.
  bool ends_at_snapshot(const StepItem& item) const;
  bool keeps_prefix(const Sequence& sequence) const { return options_.prefix_cache && sequence.keeps_prefix; }
  bool runs(const Sequence& sequence) const;

  const SchedulerOptions options_;
  const ModelSpec& spec_;
  const KvPlan& plan_;
  PagePool& pool_;
  PrefixCache cache_;
  std::deque<Sequence*> waiting_;   // next first
  std::vector<Sequence*> running_;  // oldest first
  std::vector<StepItem> items_;     // of the step under way
  std::int64_t preemptions_ = 0;
  std::int64_t budget_ = 0;  // text tokens of prompts that the step can still take
};

}  // namespace precis
