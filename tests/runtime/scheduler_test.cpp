#include "runtime/scheduler.h"

#include <gtest/gtest.h>

#include "runtime/scenario.h"

namespace precis::test {
namespace {

void run_scenario(std::uint64_t seed, Happened& happened) {
  Scenario scenario(seed);
  try {
    scenario.run(happened);
  } catch (const Error& error) {
    FAIL() << "seed " << seed << ": " << error.what() << "\n" << scenario.description();
  }
}

class SchedulerScenarioTest : public testing::TestWithParam<std::uint64_t> {};

TEST_P(SchedulerScenarioTest, KeepsItsPromises) {
  Happened happened;
  run_scenario(GetParam(), happened);
  EXPECT_GT(happened.steps, 0);
}

INSTANTIATE_TEST_SUITE_P(Seed, SchedulerScenarioTest, testing::Range<std::uint64_t>(0, 60));

// The scenarios are worth nothing if what they are about does not happen in them.
TEST(SchedulerScenariosTest, SeeEverything) {
  Happened happened;
  for (std::uint64_t seed = 1000; seed < 1250; ++seed) {
    run_scenario(seed, happened);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(happened.ended, 500);
  EXPECT_GT(happened.preemptions, 50);
  EXPECT_GT(happened.readmitted, 20);
  EXPECT_GT(happened.reused, 1000);
  EXPECT_GT(happened.copies, 50);
  EXPECT_GT(happened.abandoned, 20);
  EXPECT_GT(happened.cancelled_waiting, 10);
  EXPECT_GT(happened.cancelled_running, 10);
  EXPECT_GT(happened.cancelled_preempted, 3);
  EXPECT_GT(happened.far_preemptions, 20);
  EXPECT_GT(happened.far_copies, 20);
  EXPECT_GT(happened.owed, 100);
  EXPECT_GT(happened.ahead, 500);
  EXPECT_GT(happened.withdrawn, 50);
}

class SchedulerLongTest : public testing::TestWithParam<std::uint64_t> {};

TEST_P(SchedulerLongTest, KeepsItsPromises) {
  Happened happened;
  for (std::uint64_t i = 0; i < 250; ++i) {
    run_scenario(10'000 + GetParam() * 250 + i, happened);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Block, SchedulerLongTest, testing::Range<std::uint64_t>(0, 16));

// A scheduler whose sequences are written by hand.
class SchedulerTest : public testing::Test {
 protected:
  void open(const std::vector<LayerRule>& layers, ChunkShape chunk, SchedulerOptions options, std::int64_t pages) {
    spec_ = make_spec(layers, chunk);
    options_ = options;
    geometry_ = make_kv_geometry(spec_.rule_of_layer, 4, 1, 4, DType::bf16);
    plan_.emplace(spec_, geometry_, options.summary_delay);
    pool_.emplace(pages);
    scheduler_.emplace(options_, spec_, *plan_, *pool_);
  }

  ~SchedulerTest() override {
    for (Sequence& sequence : sequences_) scheduler_->remove(sequence);
    scheduler_->cache().clear();
    EXPECT_EQ(pool_->used_pages().all(), 0);
  }

  // Ids first, first + 1, ...
  Sequence& add(std::int64_t prompt, std::int32_t first = 0) {
    std::vector<std::int32_t> ids(static_cast<std::size_t>(prompt));
    std::iota(ids.begin(), ids.end(), first);
    sequences_.push_back({.ids = ids, .prompt = prompt, .kv = SequenceKv(geometry_, *pool_)});
    scheduler_->add(sequences_.back());
    return sequences_.back();
  }

  // Text rows of each sequence in the next step, which is then committed; a completed sequence gets one more id.
  std::vector<std::int64_t> step() {
    std::vector<std::int64_t> texts(sequences_.size(), 0);
    std::vector<Sequence*> completed;
    for (const StepItem& item : scheduler_->next()) {
      for (std::size_t i = 0; i < sequences_.size(); ++i) {
        if (&sequences_[i] == item.sequence) texts[i] = item.texts;
      }
      if (item.completes()) completed.push_back(item.sequence);
    }
    scheduler_->commit();
    for (Sequence* sequence : completed) sequence->ids.push_back(7);
    return texts;
  }

  using Texts = std::vector<std::int64_t>;

  ModelSpec spec_;
  SchedulerOptions options_;
  KvGeometry geometry_;
  std::optional<KvPlan> plan_;
  std::optional<PagePool> pool_;
  std::deque<Sequence> sequences_;
  std::optional<Scheduler> scheduler_;
};

TEST_F(SchedulerTest, PromptsInPiecesDoNotStopDecoding) {
  open({{}}, {}, {.piece = 10, .max_sequences = 4, .prefix_cache = false}, 1000);
  add(4);
  EXPECT_EQ(step(), (Texts{4}));
  add(25);
  add(3);
  EXPECT_EQ(step(), (Texts{1, 10, 0}));
  EXPECT_EQ(step(), (Texts{1, 10, 0}));
  EXPECT_EQ(step(), (Texts{1, 5, 3}));
  EXPECT_EQ(step(), (Texts{1, 1, 1}));
}

TEST_F(SchedulerTest, NoMoreSequencesThanAllowed) {
  open({{}}, {}, {.piece = 100, .max_sequences = 2, .prefix_cache = false}, 1000);
  for (int i = 0; i < 3; ++i) add(5);
  EXPECT_EQ(step(), (Texts{5, 5, 0}));
  EXPECT_EQ(scheduler_->waiting(), 1U);
  scheduler_->remove(sequences_[0]);
  EXPECT_EQ(step(), (Texts{0, 1, 5}));
}

TEST_F(SchedulerTest, TheYoungestIsPreemptedAndComesBackFirst) {
  // Two sequences of 8 tokens fill the four pages; a third waits.
  open({{}}, {}, {.piece = 100, .max_sequences = 3, .prefix_cache = false}, 4);
  add(8);
  add(8);
  add(4);
  EXPECT_EQ(step(), (Texts{8, 8, 0}));
  EXPECT_EQ(step(), (Texts{1, 0, 0}));  // a fifth page is needed: the second sequence gives its two
  EXPECT_EQ(sequences_[1].preemptions, 1);
  EXPECT_EQ(sequences_[1].computed, 0);
  EXPECT_EQ(scheduler_->running(), 1U);
  scheduler_->remove(sequences_[0]);
  EXPECT_EQ(step(), (Texts{0, 9, 4}));  // the answer so far is computed again with the prompt
}

TEST_F(SchedulerTest, AnAbandonedStepIsComputedAgain) {
  open({{}}, {}, {.piece = 100, .max_sequences = 3, .prefix_cache = false}, 100);
  add(8);
  add(6);
  step();
  add(5);
  scheduler_->next();
  scheduler_->abandon();
  EXPECT_EQ(pool_->used_pages().all(), 0);
  EXPECT_EQ(scheduler_->waiting(), 3U);
  const std::vector<StepItem>& items = scheduler_->next();
  ASSERT_EQ(items.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(items[i].sequence, &sequences_[i]);
  EXPECT_EQ(items[0].texts, 9);
  scheduler_->commit();
}

TEST_F(SchedulerTest, ADensePrefixIsReusedUpToTheLastToken) {
  open({{}}, {}, {.piece = 100, .max_sequences = 3, .prefix_cache = true}, 100);
  add(30);
  step();
  add(30);
  EXPECT_EQ(step(), (Texts{1, 1}));
  EXPECT_EQ(sequences_[1].reused, 29);
  add(20);
  sequences_[2].all_logits = true;
  EXPECT_EQ(step(), (Texts{1, 1, 20}));
  EXPECT_EQ(sequences_[2].reused, 0);
}

TEST_F(SchedulerTest, WhatIsNotToBeKeptIsNotReused) {
  open({{}}, {}, {.piece = 100, .max_sequences = 3, .prefix_cache = true}, 100);
  add(30);
  sequences_[0].keeps_prefix = false;
  step();
  EXPECT_EQ(scheduler_->cache().snapshots(), 0U);
  add(30);
  EXPECT_EQ(step(), (Texts{1, 30}));
  EXPECT_EQ(sequences_[1].reused, 0);
  EXPECT_EQ(scheduler_->cache().snapshots(), 1U);
}

TEST_F(SchedulerTest, ASummaryPrefixIsReusedOnlyWhereItsWindowIsThere) {
  // k 4, W 1: pages kept at 22 tokens begin with chunk 4; a sequence can set in from chunk 5's begin on.
  open({{Sight::summary, 1}, {}}, {4, 1}, {.piece = 100, .max_sequences = 8, .prefix_distance = 0}, 400);
  add(22);
  step();
  add(22).ids.push_back(500);  // all 22
  add(21).ids.push_back(501);
  add(20).ids.push_back(502);  // a chunk's begin
  add(19).ids.push_back(503);  // its window has lost the text of chunk 3
  for (std::size_t i = 1; i < 5; ++i) sequences_[i].prompt = static_cast<std::int64_t>(sequences_[i].ids.size());
  step();
  EXPECT_EQ(sequences_[1].reused, 22);
  EXPECT_EQ(sequences_[2].reused, 21);
  EXPECT_EQ(sequences_[3].reused, 20);
  EXPECT_EQ(sequences_[4].reused, 0);
}

TEST_F(SchedulerTest, SnapshotsAtADistanceLetLaterPromptsSetInEarlier) {
  open({{Sight::summary, 1}, {}}, {4, 1}, {.piece = 100, .max_sequences = 8, .prefix_distance = 8}, 400);
  add(22);
  EXPECT_EQ(step(), (Texts{8}));
  EXPECT_EQ(step(), (Texts{8}));
  EXPECT_EQ(step(), (Texts{6}));
  add(19).ids.push_back(503);
  step();
  EXPECT_EQ(sequences_[1].reused, 16);
}

TEST_F(SchedulerTest, InDeterministicModeAnAnswerIsDecodedAgain) {
  open({{}}, {}, {.piece = 5, .max_sequences = 3, .prefix_cache = false, .deterministic = true}, 6);
  add(8);
  add(7);
  EXPECT_EQ(step(), (Texts{5, 0}));
  EXPECT_EQ(step(), (Texts{3, 2}));
  EXPECT_EQ(step(), (Texts{1, 5}));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(step(), (Texts{1, 1}));
  EXPECT_EQ(step(), (Texts{1, 0}));  // 13 tokens and 11 do not fit 6 pages
  ASSERT_EQ(sequences_[1].preemptions, 1);
  scheduler_->remove(sequences_[0]);
  EXPECT_EQ(step(), (Texts{0, 5}));
  EXPECT_EQ(step(), (Texts{0, 2}));  // the prompt's end
  add(4);
  EXPECT_EQ(step(), (Texts{0, 1, 4}));  // the answer again, which takes nothing of the piece
  for (const StepItem& item : scheduler_->next()) EXPECT_EQ(item.decoded_from, item.sequence->prompt);
  scheduler_->commit();
}

TEST_F(SchedulerTest, InDeterministicModeOnlyPromptsAreReused) {
  open({{}}, {}, {.piece = 100, .max_sequences = 3, .prefix_cache = true, .deterministic = true}, 100);
  Sequence& first = add(20);
  for (int i = 0; i < 8; ++i) step();
  const std::vector<std::int32_t> ids = first.ids;
  scheduler_->remove(first);
  Sequence& turn = add(1);  // prompt and answer, and more
  turn.ids = ids;
  turn.ids.push_back(900);
  turn.prompt = static_cast<std::int64_t>(turn.ids.size());
  step();
  EXPECT_EQ(turn.reused, 20);
  // What was a prompt's is not an answer's.
  Sequence& answer = add(1);
  answer.ids = ids;
  answer.prompt = 10;
  step();
  EXPECT_EQ(answer.reused, 10);
}

// The pages at an answer's end begin behind its prompt.
TEST_F(SchedulerTest, InDeterministicModeWindowsAfterThePromptAreNotKept) {
  open({{Sight::window, 4}}, {}, {.piece = 100, .max_sequences = 3, .prefix_distance = 4, .deterministic = true}, 100);
  add(10);
  for (int i = 0; i < 12; ++i) step();
  scheduler_->remove(sequences_[0]);
  EXPECT_EQ(scheduler_->cache().snapshots(), 3U);  // at 4, 8 and 10
}

// Whose rows choose together must not depend on who else is in the step.
TEST_F(SchedulerTest, WhereLayersSelectPiecesOfLongPromptsWaitForRoom) {
  open({{}}, {}, {.piece = 10, .max_sequences = 4, .prefix_cache = false}, 1000);
  spec_.esa = EsaRule{.initial = 2, .local = 6, .top = 4};
  add(7);
  add(25);
  add(12);
  EXPECT_EQ(step(), (Texts{7, 0, 3}));
  EXPECT_EQ(step(), (Texts{1, 10, 0}));
  EXPECT_EQ(step(), (Texts{1, 10, 0}));
  EXPECT_EQ(step(), (Texts{1, 5, 5}));
  EXPECT_EQ(step(), (Texts{1, 1, 4}));
}

TEST_F(SchedulerTest, WhereLayersSelectDeterministicModeSetsInWhereAPieceBegins) {
  for (const bool deterministic : {false, true}) {
    open({{}}, {}, {.piece = 10, .max_sequences = 4, .prefix_cache = true, .deterministic = deterministic}, 1000);
    spec_.esa = EsaRule{.initial = 2, .local = 6, .top = 4};
    for (const std::int64_t shared : {37, 11}) {
      Sequence& first = add(shared);
      for (int i = 0; i < 5; ++i) step();
      scheduler_->remove(first);
      Sequence& second = add(shared + 5);
      step();
      EXPECT_EQ(second.reused, deterministic && shared == 37 ? 30 : shared);
      scheduler_->remove(second);
      scheduler_->cache().clear();
    }
    sequences_.clear();
  }
}

TEST_F(SchedulerTest, SummariesComeWithTheirChunkOrAreOwed) {
  open({{Sight::summary, 4}}, {2, 1}, {.piece = 100, .max_sequences = 1, .summary_delay = 2, .prefix_cache = false},
       400);
  const Sequence& sequence = add(6);
  step();
  EXPECT_EQ(sequence.summarised, 3);  // a prompt owes nothing
  const std::vector<std::int64_t> expected{3, 3, 3, 3, 3, 6, 6, 6, 6, 6, 6, 9};
  for (const std::int64_t chunks : expected) {
    step();
    EXPECT_EQ(sequence.summarised, chunks) << sequence.computed;
  }
}

TEST_F(SchedulerTest, TheWindowLimitsTheDelay) {
  // W 0: the text of a chunk leaves sight with the chunk's end.
  open({{Sight::summary, 0}}, {2, 1}, {.piece = 100, .max_sequences = 1, .summary_delay = 4, .prefix_cache = false},
       400);
  const Sequence& sequence = add(1);
  for (std::int64_t tokens = 1; tokens < 20; ++tokens) {
    step();
    EXPECT_EQ(sequence.computed, tokens);
    EXPECT_EQ(sequence.summarised, tokens / 2);
  }
}

TEST_F(SchedulerTest, RowsOfAStep) {
  open({{}}, {}, {}, 1);
  EXPECT_EQ(max_step_rows({.piece = 512, .max_sequences = 16}, {}), 528);
  // 528 text rows complete at most 66 chunks and one more for each sequence, which may owe two and one begun.
  const SchedulerOptions options{.piece = 512, .max_sequences = 16, .summary_delay = 2};
  EXPECT_GE(max_step_rows(options, {8, 3}), 528 + (66 + 16 * 3) * 3);
  EXPECT_LE(max_step_rows(options, {8, 3}), 528 + (66 + 16 * 4) * 3);
}

TEST_F(SchedulerTest, CancelledSequencesLeaveInAnyState) {
  open({{}}, {}, {.piece = 4, .max_sequences = 2, .prefix_cache = true}, 100);
  add(10, 0);
  add(10, 100);
  add(10, 200);
  step();
  scheduler_->remove(sequences_[2]);  // never ran
  scheduler_->remove(sequences_[0]);  // in the middle of its prompt: what is computed stays in the cache
  EXPECT_EQ(scheduler_->cache().snapshots(), 1U);
  EXPECT_EQ(step()[1], 4);
  add(10, 0);
  step();
  step();
  EXPECT_EQ(sequences_[3].reused, 4);
}

}  // namespace
}  // namespace precis::test
