// What is picked, left out and attended to where layers select, held against the words of docs/esa.md.
#include "attention/selection.h"

#include <gtest/gtest.h>

#include "attention/visible_set.h"
#include "support/random.h"

namespace precis::test {
namespace {

class SelectionTest : public testing::Test {
 protected:
  EsaRule random_rule() {
    return {.initial = random_.between(0, 20),
            .local = random_.between(0, 40),
            .top = random_.between(1, 30),
            .summaries = random_.chance(0.5)};
  }

  Random random_{7};
};

TEST_F(SelectionTest, RowsOfFullLayersSeeFirstChosenAndLast) {
  for (int i = 0; i < 2000; ++i) {
    const EsaRule esa = random_rule();
    const std::int64_t from = random_.between(0, 200);
    const std::int64_t to = from + random_.between(1, 50);
    const auto pick = pick_of(esa, {}, {}, from, to);
    ASSERT_EQ(pick.has_value(), from > esa.initial + esa.local + esa.top);
    if (!pick) continue;
    EXPECT_EQ(pick->local, from - esa.local);
    EXPECT_EQ(pick->count(), esa.initial + esa.top);
    EXPECT_GT(pick->middle(), esa.top);
    for (std::int64_t text = from; text < to; ++text) {
      const RowBounds bounds = picked_row_bounds(*pick, {}, {}, text);
      EXPECT_EQ(bounds.summary, (Bounds{0, static_cast<std::int32_t>(esa.initial + esa.top)}));
      EXPECT_EQ(bounds.text, (Bounds{pick->local, static_cast<std::int32_t>(text + 1)}));
    }
  }
}

TEST_F(SelectionTest, RowsOfSummaryLayersSeeTheirWindowAndPickedSummaries) {
  for (int i = 0; i < 2000; ++i) {
    EsaRule esa = random_rule();
    const LayerRule rule{Sight::summary, random_.between(0, 5)};
    const ChunkShape chunk{random_.between(1, 8), random_.between(1, 3)};
    const std::int64_t from = random_.between(0, 800);
    const std::int64_t to = from + random_.between(1, 50);
    const auto pick = pick_of(esa, rule, chunk, from, to);
    const std::int64_t before = text_row_bounds(rule, chunk, from).summary.high;
    ASSERT_EQ(pick.has_value(), esa.summaries && before > esa.all());
    if (!pick) continue;
    EXPECT_EQ(pick->local, before - esa.local);
    EXPECT_LE(pick->count(), most_picked(esa, chunk, to - from));
    for (std::int64_t text = from; text < to; ++text) {
      const RowBounds all = text_row_bounds(rule, chunk, text);
      const RowBounds bounds = picked_row_bounds(*pick, rule, chunk, text);
      EXPECT_EQ(bounds.text, all.text);
      EXPECT_EQ(bounds.summary.high - pick->chosen(), all.summary.high - pick->local);
      EXPECT_LE(bounds.summary.high, pick->count());
    }
  }
}

TEST_F(SelectionTest, WindowsNeverSelect) {
  EXPECT_FALSE(pick_of({.initial = 0, .local = 0, .top = 1, .summaries = true}, {Sight::window, 3}, {}, 1000, 1001));
}

}  // namespace
}  // namespace precis::test
