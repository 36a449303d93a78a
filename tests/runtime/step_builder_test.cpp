// Which rows of a step are marked as decoded. That rows, bounds and slots are right is seen by scheduler_test.
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

}  // namespace
}  // namespace precis::test
