#include "runtime/scheduler.h"

#include <algorithm>

#include "base/error.h"

namespace precis {

std::int64_t max_step_rows(const SchedulerOptions& options, const ChunkShape& chunk) {
  const std::int64_t texts = options.piece + options.max_sequences;
  if (!chunk.any()) return texts;
  const std::int64_t chunks = texts / chunk.text + options.max_sequences * (2 + options.summary_delay);
  return texts + chunks * chunk.summary;
}

Scheduler::Scheduler(const SchedulerOptions& options, const ModelSpec& spec, const KvPlan& plan, PagePool& pool)
    : options_(options), spec_(spec), plan_(plan), pool_(pool) {}

void Scheduler::add(Sequence& sequence) {
  PRECIS_CHECK(!sequence.ids.empty() && sequence.computed == 0);
  waiting_.push_back(&sequence);
}

void Scheduler::remove(Sequence& sequence) {
  PRECIS_CHECK(items_.empty());
  std::erase(waiting_, &sequence);
  if (std::erase(running_, &sequence) > 0) keep_snapshot(sequence);
  sequence.kv.release();
}

const std::vector<StepItem>& Scheduler::next() {
  PRECIS_CHECK(items_.empty(), "the last step was not committed");
  budget_ = options_.piece;
  const std::vector<Sequence*> running = running_;  // placing may preempt
  for (Sequence* sequence : running) {
    if (runs(*sequence) && decodes(*sequence)) place(*sequence, 1);
  }
  for (Sequence* sequence : running) {
    if (budget_ > 0 && runs(*sequence) && !decodes(*sequence)) place(*sequence, piece_of(*sequence));
  }
  while (budget_ > 0 && admit()) {
  }
  return items_;
}

bool Scheduler::admit() {
  if (waiting_.empty() || static_cast<std::int64_t>(running_.size()) >= options_.max_sequences) return false;
  Sequence& sequence = *waiting_.front();
  const auto length = static_cast<std::int64_t>(sequence.ids.size());
  std::optional<PrefixMatch> match;
  const std::int64_t limit = options_.deterministic ? std::min(length - 1, sequence.prompt) : length - 1;
  if (options_.prefix_cache && !sequence.all_logits) match = cache_.find(sequence.ids, limit);
  const std::int64_t needed = plan_.peak_pages(length, options_.piece) - (match ? match->kv.pages() : 0);
  while (pool_.free_pages() < needed && cache_.drop_oldest()) {
  }
  // Alone, a sequence may always begin: what it shares becomes its own when the cache has nothing left.
  if (pool_.free_pages() < needed && !running_.empty()) return false;
  waiting_.pop_front();
  running_.push_back(&sequence);
  if (match) restore(sequence, std::move(*match));
  return place(sequence, piece_of(sequence));
}

void Scheduler::restore(Sequence& sequence, PrefixMatch match) {
  sequence.kv = std::move(match.kv);
  sequence.computed = match.tokens;
  sequence.summarised = std::min(match.summarised, spec_.chunk.complete(match.tokens));
  sequence.kv.truncate(sequence.computed, sequence.summarised * spec_.chunk.summary);
  if (!sequence.started) sequence.reused = match.tokens;
}

bool Scheduler::place(Sequence& sequence, std::int64_t texts) {
  const std::int64_t summarised_to = summarised_after(sequence, texts);
  const KvWrite write = write_of(sequence, texts, summarised_to);
  while (pool_.free_pages() < sequence.kv.pages_to_write(write)) {
    if (cache_.drop_oldest()) continue;
    Sequence* youngest = running_.back();
    preempt(*youngest);
    if (youngest == &sequence) return false;
  }
  StepItem item{.sequence = &sequence, .texts = texts, .summarised_to = summarised_to, .copies = {}};
  if (options_.deterministic) item.decoded_from = sequence.prompt;
  sequence.kv.prepare(write, item.copies);
  if (!decodes(sequence)) budget_ -= texts;
  sequence.started = true;
  items_.push_back(std::move(item));
  return true;
}

void Scheduler::preempt(Sequence& sequence) {
  std::erase_if(items_, [&](const StepItem& item) { return item.sequence == &sequence; });
  std::erase(running_, &sequence);
  sequence.kv.release();
  sequence.computed = 0;
  sequence.summarised = 0;
  ++sequence.preemptions;
  waiting_.push_front(&sequence);
}

void Scheduler::commit() {
  for (const StepItem& item : items_) {
    Sequence& sequence = *item.sequence;
    const bool completed_prompt =
        sequence.computed < sequence.prompt && sequence.computed + item.texts >= sequence.prompt;
    sequence.computed += item.texts;
    sequence.summarised = item.summarised_to;
    for (std::size_t group = 0; group < sequence.kv.groups(); ++group) {
      sequence.kv.trim(group, plan_.kept_from(group, sequence.computed));
    }
    const bool at_distance =
        options_.prefix_distance > 0 && plan_.has_windows() && sequence.computed % options_.prefix_distance == 0;
    if (completed_prompt || at_distance) keep_snapshot(sequence);
  }
  items_.clear();
}

void Scheduler::abandon() {
  // Youngest first, so that the oldest waits in front again.
  std::vector<Sequence*> sequences;
  for (Sequence* sequence : running_) {
    const auto has = [&](const StepItem& item) { return item.sequence == sequence; };
    if (std::any_of(items_.begin(), items_.end(), has)) sequences.push_back(sequence);
  }
  std::for_each(sequences.rbegin(), sequences.rend(), [&](Sequence* sequence) { preempt(*sequence); });
  items_.clear();
}

void Scheduler::keep_snapshot(const Sequence& sequence) {
  if (!options_.prefix_cache || !sequence.keeps_prefix || sequence.computed == 0) return;
  const std::int64_t tokens = options_.deterministic ? std::min(sequence.computed, sequence.prompt) : sequence.computed;
  const std::int64_t lowest = plan_.lowest_restart(sequence.computed);
  if (lowest > tokens) return;
  SequenceKv kv = sequence.kv.share();
  const std::int64_t summarised = std::min(sequence.summarised, spec_.chunk.complete(tokens));
  if (tokens < sequence.computed) kv.truncate(tokens, summarised * spec_.chunk.summary);
  const auto end = sequence.ids.begin() + static_cast<std::ptrdiff_t>(tokens);
  cache_.insert({.ids = {sequence.ids.begin(), end}, .lowest = lowest, .summarised = summarised, .kv = std::move(kv)});
}

bool Scheduler::decodes(const Sequence& sequence) const {
  return sequence.pending() == 1 || (options_.deterministic && sequence.computed >= sequence.prompt);
}

std::int64_t Scheduler::piece_of(const Sequence& sequence) const {
  if (decodes(sequence)) return 1;
  std::int64_t texts = std::min(budget_, sequence.pending());
  if (options_.deterministic) texts = std::min(texts, sequence.prompt - sequence.computed);
  if (options_.prefix_cache && options_.prefix_distance > 0 && plan_.has_windows()) {
    texts = std::min(texts, options_.prefix_distance - sequence.computed % options_.prefix_distance);
  }
  return texts;
}

std::int64_t Scheduler::summarised_after(const Sequence& sequence, std::int64_t texts) const {
  const std::int64_t after = sequence.computed + texts;
  const std::int64_t complete = spec_.chunk.complete(after);
  // Rows of a piece may see the summaries of chunks that the same piece completes.
  if (texts > 1) return complete;
  const bool owes_much = complete - sequence.summarised > options_.summary_delay;
  return owes_much || sequence.summarised < plan_.summaries_due(after) ? complete : sequence.summarised;
}

KvWrite Scheduler::write_of(const Sequence& sequence, std::int64_t texts, std::int64_t summarised_to) const {
  return {.text_from = sequence.computed,
          .text_to = sequence.computed + texts,
          .summary_from = sequence.summarised * spec_.chunk.summary,
          .summary_to = summarised_to * spec_.chunk.summary};
}

bool Scheduler::runs(const Sequence& sequence) const {
  return std::find(running_.begin(), running_.end(), &sequence) != running_.end();
}

}  // namespace precis
