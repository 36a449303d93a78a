// One random life of a scheduler: arrivals, cancels and failed steps, over a shadow model, with every promise of
// scheduler.h checked at every step.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "runtime/scheduler.h"
#include "runtime/shadow_model.h"
#include "support/random_spec.h"

namespace precis::test {

// How often what happened, so that a test can see that it tested something.
struct Happened {
  std::int64_t steps = 0;
  std::int64_t ended = 0;
  std::int64_t preemptions = 0;
  std::int64_t readmitted = 0;  // ended although preempted
  std::int64_t reused = 0;      // tokens
  std::int64_t copies = 0;
  std::int64_t far_preemptions = 0;  // where some pages are far
  std::int64_t far_copies = 0;       // of far pages
  std::int64_t abandoned = 0;
  std::int64_t cancelled_waiting = 0;
  std::int64_t cancelled_running = 0;
  std::int64_t cancelled_preempted = 0;
  std::int64_t ahead = 0;      // steps that were called before the ids of the one before were seen
  std::int64_t withdrawn = 0;  // from these
  std::int64_t owed = 0;       // steps after which summaries were owed
};

class Scenario {
 public:
  explicit Scenario(std::uint64_t seed);

  // Throws Error at the first broken promise.
  void run(Happened& happened);
  std::string description() const;

 private:
  struct Member {
    Sequence sequence;
    std::int64_t longest;     // ids at the end
    std::int64_t logits = 0;  // next index, where all are wanted
  };
  // What a sequence was before a step was chosen.
  struct Before {
    Member* member;
    int preemptions;
    bool decodes;
  };

  static SchedulerOptions random_options(Random& random, const ModelSpec& spec);
  static KvGeometry random_geometry(Random& random, const ModelSpec& spec);
  void plan_arrivals();
  void arrive();
  void cancel();
  bool step();
  bool decodes(const Sequence& sequence) const;
  // Each member of the step under way, and whether the step completes it.
  using StepMembers = std::vector<std::pair<Member*, bool>>;
  // Steps that nobody waits for: `members` are those of the last of them.
  void run_ahead(StepMembers& members);
  void check_pages(const Sequence& sequence) const;
  std::vector<Before> running() const;
  void check_choice(const std::vector<Before>& before, const std::vector<StepItem>& items);
  void check_sizes(const std::vector<StepItem>& items) const;
  void check_memory() const;
  void take_logits(Member& member, const std::vector<std::int64_t>& logits, bool completes);
  bool advance(Member& member, bool completes);
  void remove(Member& member);
  Member& member_of(const Sequence& sequence);

  Random random_;
  ModelSpec spec_;
  SchedulerOptions options_;
  KvGeometry geometry_;
  KvPlan plan_;
  std::vector<std::vector<std::int32_t>> beginnings_;  // that prompts share
  std::list<std::unique_ptr<Member>> to_come_;
  std::int64_t tokens_to_come_ = 0;
  std::unique_ptr<PagePool> pool_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<ShadowModel> model_;
  std::list<std::unique_ptr<Member>> live_;
  std::vector<Member*> order_;  // running, oldest first, as seen from outside
  Happened* happened_ = nullptr;
  int abandons_left_ = 4;
  double aheads_ = 0;  // how likely a step is followed by one that nobody waits for
};

inline SchedulerOptions Scenario::random_options(Random& random, const ModelSpec& spec) {
  return {.piece = random.pick<std::int64_t>({1, 2, 7, 16, 64, 512}),
          .max_sequences = random.between(1, 7),
          .summary_delay = spec.chunk.any() ? random.between(0, 4) : 0,
          .prefix_cache = random.chance(0.6),
          .prefix_distance = random.pick<std::int64_t>({0, 1, 16, 50, 2048}),
          .deterministic = random.chance(0.4)};
}

// Text of any groups in far pages, now and then.
inline KvGeometry Scenario::random_geometry(Random& random, const ModelSpec& spec) {
  KvGeometry geometry =
      make_kv_geometry(spec.rule_of_layer, random.pick<std::int64_t>({1, 3, 5, 8, 16}), 1, 4, DType::bf16);
  if (random.chance(0.6)) return geometry;
  for (KvGroup& group : geometry.groups) group.text_pages = random.chance(0.6) ? PageKind::far : PageKind::near;
  return geometry;
}

inline Scenario::Scenario(std::uint64_t seed)
    : random_(seed),
      spec_(random_spec(random_, static_cast<SpecKind>(seed % 5))),
      options_(random_options(random_, spec_)),
      geometry_(random_geometry(random_, spec_)),
      plan_(spec_, geometry_, options_.summary_delay) {
  if (spec_.summary && random_.chance(0.3)) spec_.summary->text_positions = TextPositions::inner_chunk;
  plan_arrivals();
  scheduler_ = std::make_unique<Scheduler>(options_, spec_, plan_, *pool_);
  model_ = std::make_unique<ShadowModel>(spec_, geometry_, *pool_, options_.deterministic);
}

inline std::string Scenario::description() const {
  return fmt::format(
      "{}, page {}, {} near and {} far pages, piece {}, {} sequences, delay {}, cache {} at {}, deterministic {}",
      describe(spec_), geometry_.page_entries, pool_->total_pages().near, pool_->total_pages().far, options_.piece,
      options_.max_sequences, options_.summary_delay, options_.prefix_cache, options_.prefix_distance,
      options_.deterministic);
}

// The pool is just large enough for the longest sequence alone, or up to three times as large.
inline void Scenario::plan_arrivals() {
  for (int i = 0; i < 3; ++i) {
    auto& ids = beginnings_.emplace_back(i > 0 && random_.chance(0.5) ? beginnings_[0] : std::vector<std::int32_t>{});
    ids.resize(static_cast<std::size_t>(random_.between(0, static_cast<std::int64_t>(ids.size()))));
    while (ids.size() < 300) ids.push_back(static_cast<std::int32_t>(random_.below(spec_.vocabulary)));
  }
  // The members borrow the pool: it must be there before them, and its size depends on them.
  struct Lengths {
    std::int64_t shared, own, answer;
  };
  std::vector<Lengths> lengths;
  PageCounts peak;
  const bool small = random_.chance(0.4);
  for (std::int64_t i = random_.between(3, 14); i > 0; --i) {
    const Lengths of{random_.chance(0.6) ? random_.between(1, small ? 40 : 300) : 0,
                     random_.between(1, random_.chance(0.5) ? 10
                                        : small             ? 30
                                                            : 100),
                     random_.between(0, 60)};
    lengths.push_back(of);
    const PageCounts needed = plan_.peak_pages(of.shared + of.own + of.answer, options_.piece);
    peak = {std::max(peak.near, needed.near), std::max(peak.far, needed.far)};
    tokens_to_come_ += of.shared + of.own + of.answer;
  }
  const auto enough = [&](std::int64_t pages) {
    return pages == 0 || random_.chance(0.4) ? pages : pages + random_.below(2 * pages);
  };
  const std::int64_t near = enough(peak.near);
  pool_ = std::make_unique<PagePool>(near, enough(peak.far));
  for (const Lengths& of : lengths) {
    const auto& shared = random_.pick(beginnings_);
    std::vector<std::int32_t> ids(shared.begin(), shared.begin() + of.shared);
    for (std::int64_t i = 0; i < of.own; ++i) ids.push_back(static_cast<std::int32_t>(random_.below(spec_.vocabulary)));
    // Now and then the very same prompt again.
    if (!to_come_.empty() && random_.chance(0.2) && to_come_.back()->longest <= of.shared + of.own + of.answer) {
      const Sequence& last = to_come_.back()->sequence;
      ids.assign(last.ids.begin(), last.ids.end());
    }
    const auto prompt = static_cast<std::int64_t>(ids.size());
    to_come_.push_back(
        std::make_unique<Member>(Member{.sequence = {.ids = std::move(ids),
                                                     .prompt = prompt,
                                                     .all_logits = random_.chance(0.1),
                                                     .kv = SequenceKv(geometry_, *pool_)},
                                        .longest = std::min(prompt + of.answer, of.shared + of.own + of.answer)}));
  }
}

inline void Scenario::run(Happened& happened) {
  happened_ = &happened;
  const double arrivals = random_.pick<double>({0.02, 0.2, 1.0});
  aheads_ = random_.pick<double>({0.0, 0.5, 0.95});
  const double cancels = random_.pick<double>({0.0, 0.0, 0.01, 0.05});
  // Each step the oldest goes on by a token at least; a failed step costs at most all that there is.
  std::int64_t steps_left = tokens_to_come_ * 6 + 100;
  while (!to_come_.empty() || !live_.empty()) {
    if (!to_come_.empty() && (live_.empty() || random_.chance(arrivals))) arrive();
    if (!live_.empty() && random_.chance(cancels)) cancel();
    if (live_.empty()) continue;
    if (!step()) fail("nothing is computed although {} sequences are there", live_.size());
    if (--steps_left < 0) fail("the sequences do not end");
  }
  if (!scheduler_->idle()) fail("not idle at the end");
  if (!scheduler_->next().empty()) fail("a step without sequences");
  scheduler_->commit();
  scheduler_->cache().clear();
  if (pool_->used_pages().all() != 0) fail("{} pages are held at the end", pool_->used_pages().all());
  happened.copies += model_->copied();
  happened.far_copies += model_->copied_far();
}

inline void Scenario::arrive() {
  if (!scheduler_->fits(to_come_.front()->longest)) fail("a sequence that was to fit does not");
  live_.splice(live_.end(), to_come_, to_come_.begin());
  scheduler_->add(live_.back()->sequence);
}

inline void Scenario::cancel() {
  Member& member = **std::next(live_.begin(), random_.below(static_cast<std::int64_t>(live_.size())));
  const bool runs = std::find(order_.begin(), order_.end(), &member) != order_.end();
  (runs                              ? happened_->cancelled_running
   : member.sequence.preemptions > 0 ? happened_->cancelled_preempted
                                     : happened_->cancelled_waiting) += 1;
  remove(member);
}

inline void Scenario::remove(Member& member) {
  scheduler_->remove(member.sequence);
  if (member.sequence.kv.pages().all() != 0) fail("a removed sequence holds pages");
  happened_->preemptions += member.sequence.preemptions;
  if (pool_->total_pages().far > 0) happened_->far_preemptions += member.sequence.preemptions;
  happened_->reused += member.sequence.reused;
  std::erase(order_, &member);
  model_->forget(member.sequence);
  live_.remove_if([&](const auto& one) { return one.get() == &member; });
}

// An answer goes on by a token a step, in deterministic mode also when it is computed again.
inline bool Scenario::decodes(const Sequence& sequence) const {
  return sequence.pending() == 1 || (options_.deterministic && sequence.computed >= sequence.prompt);
}

inline std::vector<Scenario::Before> Scenario::running() const {
  std::vector<Before> before;
  for (Member* member : order_) {
    before.push_back({member, member->sequence.preemptions, decodes(member->sequence)});
  }
  return before;
}

inline Scenario::Member& Scenario::member_of(const Sequence& sequence) {
  for (const auto& member : live_) {
    if (&member->sequence == &sequence) return *member;
  }
  fail("a step has a sequence that is not there");
}

inline bool Scenario::step() {
  const std::vector<Before> before = running();
  const std::vector<StepItem>& items = scheduler_->next();
  if (items.empty()) return false;
  ++happened_->steps;
  check_choice(before, items);
  check_sizes(items);
  const auto logits = model_->compute(items);
  if (abandons_left_ > 0 && random_.chance(0.01)) {
    --abandons_left_;
    ++happened_->abandoned;
    scheduler_->abandon();
    std::erase_if(order_, [](const Member* member) { return member->sequence.computed == 0; });
    check_memory();
    return true;
  }
  StepMembers done;
  for (std::size_t i = 0; i < items.size(); ++i) {
    done.emplace_back(&member_of(*items[i].sequence), items[i].completes());
    take_logits(*done.back().first, logits[i], done.back().second);
  }
  run_ahead(done);
  scheduler_->commit();
  check_memory();
  for (const auto& [member, completes] : done) {
    if (!advance(*member, completes)) continue;
    ++happened_->ended;
    if (member->sequence.preemptions > 0) ++happened_->readmitted;
    remove(*member);
  }
  return true;
}

inline void Scenario::run_ahead(StepMembers& members) {
  while (random_.chance(aheads_)) {
    const auto goes_on = [](const auto& of) {
      return static_cast<std::int64_t>(of.first->sequence.ids.size()) + 1 < of.first->longest;
    };
    if (!std::all_of(members.begin(), members.end(), goes_on)) return;
    const std::vector<StepItem>& items = scheduler_->run_ahead();
    if (items.empty()) return;
    ++happened_->ahead;
    check_sizes(items);
    const StepInputs unseen = build_step(items, spec_, geometry_).inputs;
    for (std::int64_t row = 0; row < unseen.text_rows; ++row) {
      const Member* drawn = members.at(static_cast<std::size_t>(-1 - unseen.ids[static_cast<std::size_t>(row)])).first;
      if (&drawn->sequence != items[static_cast<std::size_t>(row)].sequence)
        fail("row {} goes on by another's id", row);
    }
    for (const auto& of : members) of.first->sequence.append(model_->next_id(of.first->sequence));
    const auto logits = model_->compute(items);
    members.clear();
    for (std::size_t i = 0; i < items.size(); ++i) {
      members.emplace_back(&member_of(*items[i].sequence), items[i].completes());
      take_logits(*members.back().first, logits[i], members.back().second);
    }
    // Some have ended with the step before: the last one does not count for them.
    const StepMembers computed = members;
    for (const auto& of : computed) {
      if (!random_.chance(0.1)) continue;
      ++happened_->withdrawn;
      scheduler_->withdraw(of.first->sequence);
      check_pages(of.first->sequence);
      std::erase(members, of);
      remove(*of.first);
    }
    if (members.size() != computed.size()) return;  // rows are counted with those that were withdrawn
  }
}

// Who is in the step, and who was preempted for it.
inline void Scenario::check_choice(const std::vector<Before>& before, const std::vector<StepItem>& items) {
  const auto item_of = [&](const Member* member) -> const StepItem* {
    for (const StepItem& item : items) {
      if (item.sequence == &member->sequence) return &item;
    }
    return nullptr;
  };
  order_.clear();
  bool preempted = false;
  for (const Before& one : before) {
    const bool victim = one.member->sequence.preemptions != one.preemptions;
    if (preempted && !victim) fail("a sequence was preempted before a younger one");
    preempted = preempted || victim;
    if (victim) continue;
    const StepItem* item = item_of(one.member);
    if (one.decodes && (item == nullptr || item->texts != 1)) fail("a sequence that decodes is not in the step");
    order_.push_back(one.member);
  }
  if (!before.empty()) {
    if (order_.empty()) fail("the oldest was preempted");
    if (item_of(order_.front()) == nullptr) fail("the oldest does not go on");
  }
  if (preempted && scheduler_->cache().snapshots() > 0) fail("a sequence was preempted before the cache gave back");
  for (const StepItem& item : items) {
    Member& member = member_of(*item.sequence);
    if (std::find(order_.begin(), order_.end(), &member) == order_.end()) order_.push_back(&member);
  }
  if (order_.size() != scheduler_->running()) fail("{} run, expected {}", scheduler_->running(), order_.size());
  if (live_.size() != scheduler_->running() + scheduler_->waiting()) fail("a sequence was lost");
}

inline void Scenario::check_sizes(const std::vector<StepItem>& items) const {
  std::int64_t rows = 0;
  std::int64_t prompts = 0;
  std::set<const Sequence*> seen;
  for (const StepItem& item : items) {
    if (!seen.insert(item.sequence).second) fail("a sequence is twice in a step");
    if (item.texts < 1 || item.texts > item.sequence->pending()) fail("{} text rows", item.texts);
    if (item.sequence->all_logits && item.sequence->reused > 0) fail("reused although all logits are wanted");
    rows += item.texts + (item.summarised_to - item.sequence->summarised) * spec_.chunk.summary;
    if (!decodes(*item.sequence)) prompts += item.texts;
  }
  if (static_cast<std::int64_t>(seen.size()) > options_.max_sequences) fail("{} sequences", seen.size());
  if (prompts > options_.piece) fail("{} text tokens of prompts", prompts);
  if (rows > max_step_rows(options_, spec_.chunk)) fail("{} rows, expected at most max_step_rows", rows);
}

// Between steps each sequence holds what the plan says, and nothing else holds pages but the cache.
inline void Scenario::check_memory() const {
  std::set<PageId> pages;
  PageCounts held;
  for (const auto& member : live_) {
    const Sequence& sequence = member->sequence;
    const std::int64_t complete = spec_.chunk.complete(sequence.computed);
    if (sequence.summarised < plan_.summaries_due(sequence.computed)) fail("summaries are missing");
    if (complete - sequence.summarised > options_.summary_delay) fail("too many summaries are owed");
    if (complete > sequence.summarised) ++happened_->owed;
    check_pages(sequence);
    held += sequence.kv.pages();
    for (std::size_t group = 0; group < sequence.kv.groups(); ++group) {
      pages.insert(sequence.kv.text(group).pages().begin(), sequence.kv.text(group).pages().end());
      pages.insert(sequence.kv.summary(group).pages().begin(), sequence.kv.summary(group).pages().end());
    }
  }
  PageCounts distinct;
  for (const PageId page : pages) ++distinct.of(pool_->kind_of(page));
  if (!distinct.within(pool_->used_pages())) fail("pages are held and free");
  if (scheduler_->cache().snapshots() == 0 && pool_->used_pages() != distinct) fail("pages are held by nobody");
  if (!options_.prefix_cache && distinct != held) fail("pages are shared without a cache");
}

inline void Scenario::check_pages(const Sequence& sequence) const {
  const bool owes = spec_.chunk.complete(sequence.computed) > sequence.summarised;
  const PageCounts planned = sequence.computed == 0 ? PageCounts{} : plan_.pages(sequence.computed);
  const PageCounts held = sequence.kv.pages();
  if (owes ? !held.within(planned) : held != planned) {
    fail("{} near and {} far pages at {} tokens, planned are {} and {}", held.near, held.far, sequence.computed,
         planned.near, planned.far);
  }
}

inline void Scenario::take_logits(Member& member, const std::vector<std::int64_t>& logits, bool completes) {
  const auto last = static_cast<std::int64_t>(member.sequence.ids.size()) - 1;
  if (!member.sequence.all_logits) {
    if (logits != (completes ? std::vector<std::int64_t>{last} : std::vector<std::int64_t>{})) fail("wrong logits");
    return;
  }
  // In order and without a gap; again from the beginning after a preemption.
  for (const std::int64_t index : logits) {
    if (index > member.logits) fail("logits of index {} were left out", member.logits);
    member.logits = std::max(member.logits, index + 1);
  }
  if (completes && member.logits != last + 1) fail("the last logits are missing");
}

// The owner's part after a step. True when the sequence has ended.
inline bool Scenario::advance(Member& member, bool completes) {
  if (!completes) return false;
  Sequence& sequence = member.sequence;
  if (static_cast<std::int64_t>(sequence.ids.size()) >= member.longest) return true;
  sequence.ids.push_back(model_->next_id(sequence));
  return static_cast<std::int64_t>(sequence.ids.size()) >= member.longest;
}

}  // namespace precis::test
