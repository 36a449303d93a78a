#include "runtime/scheduler.h"

#include <algorithm>

#include "base/checked.h"
#include "base/error.h"

namespace precis {

std::int64_t max_step_rows(const SchedulerOptions& options, const ChunkShape& chunk) {
  const std::int64_t texts = options.piece + options.max_sequences;
  if (!chunk.any()) return texts;
  const std::int64_t chunks = texts / chunk.text + options.max_sequences * (2 + options.summary_delay);
  return texts + chunks * chunk.summary;
}

Scheduler::Scheduler(const SchedulerOptions& options, const ModelSpec& spec, const KvPlan& plan, PagePool& pool)
    : options_(options), spec_(spec), plan_(plan), pool_(pool), cache_(options.prefix_budget) {}

void Scheduler::add(Sequence& sequence) {
  PRECIS_CHECK(!sequence.ids.empty() && sequence.computed == 0);
  waiting_.push_back(&sequence);
}

void Scheduler::remove(Sequence& sequence) {
  PRECIS_CHECK(!std::ranges::any_of(items_, [&](const StepItem& item) { return item.sequence == &sequence; }));
  std::erase(waiting_, &sequence);
  if (std::erase(running_, &sequence) > 0) keep_snapshot(sequence, sequence.computed);
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
    if (budget_ == 0 || !runs(*sequence) || decodes(*sequence)) continue;
    if (const std::int64_t texts = piece_of(*sequence); texts > 0) place(*sequence, texts);
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
  if (match) match = at_piece(std::move(*match));
  const PageCounts peak = plan_.peak_pages(length, options_.piece);
  const PageCounts needed = match ? peak - match->kv.pages() : peak;
  while (!needed.within(pool_.free_pages()) && cache_.drop_oldest()) {
  }
  // Alone, a sequence may always begin: what it shares becomes its own when the cache has nothing left.
  if (!needed.within(pool_.free_pages()) && !running_.empty()) return false;
  waiting_.pop_front();
  running_.push_back(&sequence);
  if (match) restore(sequence, std::move(*match));
  const std::int64_t texts = piece_of(sequence);
  return texts == 0 || place(sequence, texts);
}

void Scheduler::restore(Sequence& sequence, PrefixMatch match) {
  sequence.kv = std::move(match.kv);
  sequence.computed = match.tokens;
  sequence.summarised = std::min(match.summarised, spec_.chunk.complete(match.tokens));
  sequence.kv.truncate(sequence.computed, sequence.summarised * spec_.chunk.summary);
  if (!sequence.started) sequence.reused = match.tokens;
  cache_.count_hit(match.tokens);
}

bool Scheduler::has_room(const PageCounts& pages) const {
  if (pages.within(pool_.free_pages())) return true;
  PageCounts room = pool_.free_pages();
  return pages.within(room += cache_.pages_alone());
}

void Scheduler::make_room(const PageCounts& pages) {
  while (!pages.within(pool_.free_pages())) PRECIS_CHECK(cache_.drop_oldest(), "{} pages", pages.all());
}

bool Scheduler::may_admit() const {
  if (waiting_.empty() || static_cast<std::int64_t>(running_.size()) >= options_.max_sequences) return false;
  // What is cached may be taken over, or give way.
  const auto length = static_cast<std::int64_t>(waiting_.front()->ids.size());
  return cache_.snapshots() > 0 || plan_.peak_pages(length, options_.piece).within(pool_.free_pages());
}

bool Scheduler::can_run_ahead() const {
  PageCounts pages;
  std::size_t sequences = 0;
  for (const StepItem& item : items_) {
    if (item.sequence == nullptr) continue;
    const Sequence& sequence = *item.sequence;
    if (!item.completes() || sequence.all_logits || ends_at_snapshot(item)) return false;
    // Before windows are trimmed, which only leaves more pages.
    pages += sequence.kv.pages_to_write(write_of({sequence.computed + item.texts, item.summarised_to}, 1));
    ++sequences;
  }
  return sequences == running_.size() && pages.within(pool_.free_pages()) && !may_admit();
}

const std::vector<StepItem>& Scheduler::run_ahead() {
  static const std::vector<StepItem> none;
  if (!can_run_ahead()) return none;
  std::vector<Sequence*> rows;  // of logits: each item has one, at its end
  for (const StepItem& item : items_) rows.push_back(item.sequence);
  commit();
  for (std::size_t row = 0; row < rows.size(); ++row) {
    if (rows[row] != nullptr) rows[row]->unseen_row = narrow<std::int32_t>(row);
  }
  for (std::size_t index = 0; index < running_.size(); ++index) {
    PRECIS_CHECK(place(*running_[index], 1), "a step that runs ahead lacks pages");
  }
  return items_;
}

void Scheduler::withdraw(Sequence& sequence) {
  const auto item = std::ranges::find_if(items_, [&](const StepItem& of) { return of.sequence == &sequence; });
  if (item == items_.end()) return;
  item->sequence = nullptr;
  sequence.kv.truncate(sequence.computed, sequence.summarised * spec_.chunk.summary);
  trim(sequence);
  const auto is_withdrawn = [](const StepItem& of) { return of.sequence == nullptr; };
  if (std::ranges::all_of(items_, is_withdrawn)) items_.clear();
}

bool Scheduler::place(Sequence& sequence, std::int64_t texts) {
  const Progress before{sequence.computed, sequence.summarised};
  const std::int64_t summarised_to = summarised_after(before, texts);
  const KvWrite write = write_of(before, texts);
  while (!sequence.kv.pages_to_write(write).within(pool_.free_pages())) {
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
  sequence.unseen_row = -1;
  ++sequence.preemptions;
  ++preemptions_;
  waiting_.push_front(&sequence);
}

void Scheduler::commit() {
  for (const StepItem& item : items_) {
    if (item.sequence == nullptr) continue;
    Sequence& sequence = *item.sequence;
    const bool keeps = ends_at_snapshot(item);
    sequence.computed += item.texts;
    sequence.summarised = item.summarised_to;
    // The same prompt again computes its last token: that can be had of the snapshot.
    if (keeps) keep_snapshot(sequence, sequence.computed - 1);
    trim(sequence);
  }
  items_.clear();
}

bool Scheduler::ends_at_snapshot(const StepItem& item) const {
  const Sequence& sequence = *item.sequence;
  if (!keeps_prefix(sequence)) return false;
  const std::int64_t computed = sequence.computed + item.texts;
  const bool completed_prompt = sequence.computed < sequence.prompt && computed >= sequence.prompt;
  const bool at_distance =
      options_.prefix_distance > 0 && plan_.has_windows() && computed % options_.prefix_distance == 0;
  return completed_prompt || at_distance;
}

void Scheduler::trim(Sequence& sequence) const {
  for (std::size_t group = 0; group < sequence.kv.groups(); ++group) {
    sequence.kv.trim(group, plan_.kept_from(group, sequence.computed));
  }
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

void Scheduler::keep_snapshot(const Sequence& sequence, std::int64_t restart) {
  if (!keeps_prefix(sequence) || sequence.computed == 0) return;
  const std::int64_t tokens = options_.deterministic ? std::min(sequence.computed, sequence.prompt) : sequence.computed;
  const std::int64_t lowest = plan_.lowest_restart(restart);
  if (lowest > tokens) return;
  SequenceKv kv = sequence.kv.share();
  for (std::size_t group = 0; group < kv.groups(); ++group) kv.trim(group, plan_.kept_from(group, restart));
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
  const bool whole = selects(sequence.length());
  std::int64_t texts = whole ? std::min(sequence.pending(), options_.piece - sequence.computed % options_.piece)
                             : std::min(budget_, sequence.pending());
  if (options_.deterministic) texts = std::min(texts, sequence.prompt - sequence.computed);
  if (options_.prefix_cache && options_.prefix_distance > 0 && plan_.has_windows()) {
    texts = std::min(texts, options_.prefix_distance - sequence.computed % options_.prefix_distance);
  }
  return texts <= budget_ ? texts : 0;
}

std::optional<PrefixMatch> Scheduler::at_piece(PrefixMatch match) const {
  if (!options_.deterministic || !selects(match.tokens)) return match;
  match.tokens -= match.tokens % options_.piece;
  if (match.tokens < match.lowest || match.tokens == 0) return std::nullopt;
  return match;
}

std::int64_t Scheduler::summarised_after(const Progress& before, std::int64_t texts) const {
  const std::int64_t after = before.computed + texts;
  const std::int64_t complete = spec_.chunk.complete(after);
  // Rows of a piece may see the summaries of chunks that the same piece completes.
  if (texts > 1) return complete;
  const bool owes_much = complete - before.summarised > options_.summary_delay;
  return owes_much || before.summarised < plan_.summaries_due(after) ? complete : before.summarised;
}

KvWrite Scheduler::write_of(const Progress& before, std::int64_t texts) const {
  return {.text_from = before.computed,
          .text_to = before.computed + texts,
          .summary_from = before.summarised * spec_.chunk.summary,
          .summary_to = summarised_after(before, texts) * spec_.chunk.summary};
}

bool Scheduler::runs(const Sequence& sequence) const {
  return std::find(running_.begin(), running_.end(), &sequence) != running_.end();
}

}  // namespace precis
