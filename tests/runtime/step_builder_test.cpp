// Which rows of a step are marked as decoded, and what they pick. That rows, bounds and slots are right is seen by
// scheduler_test.
#include "runtime/step_builder.h"

#include <gtest/gtest.h>

#include <numeric>

#include "support/random_spec.h"

namespace precis::test {
namespace {

class StepBuilderTest : public testing::Test {
 protected:
  // Chunks of 4 tokens and 2 summaries.
  StepBuilderTest()
      : spec_(make_spec({{Sight::summary, 3}}, {4, 2})),
        geometry_(make_kv_geometry(spec_.rule_of_layer, 4, 1, 4, DType::bf16)),
        pool_(100),
        sequence_{.ids = std::vector<std::int32_t>(30), .prompt = 10, .kv = SequenceKv(geometry_, pool_)} {}

  // first row, rows, decoded
  using Run = std::tuple<int, int, bool>;

  std::vector<Run> runs_of(std::int64_t computed, std::int64_t texts, std::int64_t summarised,
                           std::int64_t summarised_to, bool deterministic) {
    sequence_.computed = computed;
    sequence_.summarised = summarised;
    StepItem item{.sequence = &sequence_, .texts = texts, .summarised_to = summarised_to, .copies = {}};
    if (deterministic) item.decoded_from = sequence_.prompt;
    sequence_.kv.prepare({0, computed + texts, 0, summarised_to * 2}, item.copies);
    const Step step = build_step(std::span(&item, 1), spec_, geometry_);
    std::vector<Run> runs;
    for (const RowRun& run : step.inputs.runs.front()) runs.emplace_back(run.first_row, run.rows, run.decoded);
    return runs;
  }

  ModelSpec spec_;
  KvGeometry geometry_;
  PagePool pool_;
  Sequence sequence_;
};

TEST_F(StepBuilderTest, RowsBehindThePromptAreDecoded) {
  EXPECT_EQ(runs_of(0, 10, 0, 2, true), (std::vector<Run>{{0, 10, false}, {10, 4, false}}));
  EXPECT_EQ(runs_of(9, 1, 0, 0, true), (std::vector<Run>{{0, 1, false}}));
  EXPECT_EQ(runs_of(10, 1, 2, 2, true), (std::vector<Run>{{0, 1, true}}));
}

TEST_F(StepBuilderTest, SummariesAreDecodedWhereTheirChunkEndsBehindThePrompt) {
  EXPECT_EQ(runs_of(11, 1, 2, 3, true), (std::vector<Run>{{0, 1, true}, {1, 2, true}}));
  // Owed ones of the prompt beside others.
  EXPECT_EQ(runs_of(15, 1, 0, 4, true), (std::vector<Run>{{0, 1, true}, {1, 4, false}, {5, 4, true}}));
}

TEST_F(StepBuilderTest, NoneIsMarkedOtherwise) {
  EXPECT_EQ(runs_of(8, 8, 1, 4, false), (std::vector<Run>{{0, 8, false}, {8, 6, false}}));
}

// A full layer and one with a window, in a step of three sequences.
TEST(StepBuilderPicksTest, PickedPagesTakeThePlaceOfTheSummaryTrack) {
  ModelSpec spec = make_spec({{}, {Sight::window, 5}}, {});
  spec.esa = EsaRule{.initial = 2, .local = 6, .top = 3};
  const KvGeometry geometry = make_kv_geometry(spec.rule_of_layer, 4, 1, 4, DType::bf16);
  PagePool pool(100);
  std::vector<Sequence> sequences;
  std::vector<StepItem> items;
  for (const std::int64_t computed : {11, 12, 30}) {
    sequences.push_back({.ids = std::vector<std::int32_t>(40), .prompt = 40, .kv = SequenceKv(geometry, pool)});
    sequences.back().computed = computed;
  }
  for (Sequence& sequence : sequences) {
    items.push_back({.sequence = &sequence, .texts = 3, .summarised_to = 0, .copies = {}});
    sequence.kv.prepare({0, sequence.computed + 3, 0, 0}, items.back().copies);
  }
  const Step step = build_step(items, spec, geometry);
  const StepInputs& inputs = step.inputs;
  EXPECT_TRUE(inputs.picks[1].empty());
  ASSERT_EQ(inputs.picks[0].size(), 2U);  // the first sees no more than it would anyway
  EXPECT_EQ(inputs.picked_pages, (std::vector<std::int32_t>{0, 1, 2, 3}));
  for (std::size_t i = 0; i < 2; ++i) {
    const PickRun& pick = inputs.picks[0][i];
    const RowRun& run = inputs.runs[0][i + 1];
    const std::int64_t from = sequences[i + 1].computed;
    EXPECT_EQ(pick.first_row, run.first_row);
    EXPECT_EQ(pick.rows, 3);
    EXPECT_EQ(pick.track.pages, run.text.pages);
    EXPECT_EQ(std::tuple(pick.initial, pick.top, pick.local, pick.end), std::tuple(2, 3, from - 6, from - 6));
    EXPECT_EQ(pick.first_page, static_cast<std::int32_t>(2 * i));
    EXPECT_EQ(pick.distance, 6);
    EXPECT_TRUE(run.picked);
    ASSERT_EQ(run.summary.count, 2);
    EXPECT_EQ(run.summary.pages[1], static_cast<std::int32_t>(2 * i + 1));
    EXPECT_EQ(inputs.bounds[0][static_cast<std::size_t>(run.first_row) + 1].summary, (Bounds{0, 5}));
  }
  EXPECT_FALSE(inputs.runs[0][0].picked);
  EXPECT_FALSE(inputs.runs[1][2].picked);
  for (Sequence& sequence : sequences) sequence.kv.release();
}

}  // namespace
}  // namespace precis::test
