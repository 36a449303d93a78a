// What the plan promises against sequences that really take and give back pages.
#include "memory/kv_plan.h"

#include <gtest/gtest.h>

#include <limits>

#include "attention/visible_set.h"
#include "support/random_spec.h"

namespace precis::test {
namespace {

KvGeometry geometry_of(const ModelSpec& spec, std::int64_t page_entries) {
  return make_kv_geometry(spec.rule_of_layer, page_entries, spec.kv_heads, spec.head_dim, DType::bf16);
}

// Text of any groups in far pages, now and then.
KvGeometry random_geometry(Random& random, const ModelSpec& spec) {
  KvGeometry geometry = geometry_of(spec, random.between(1, 20));
  if (random.chance(0.5)) return geometry;
  for (KvGroup& group : geometry.groups) group.text_pages = random.chance(0.6) ? PageKind::far : PageKind::near;
  return geometry;
}

// A sequence that computes text in steps of any size and keeps what the next text row sees.
class SimulatedSequence {
 public:
  SimulatedSequence(const ModelSpec& spec, const KvGeometry& geometry)
      : spec_(spec), geometry_(geometry), pool_(100'000, 100'000), kv_(geometry, pool_) {}

  // `owed`: complete chunks whose summaries are left for later.
  void step(std::int64_t texts, std::int64_t owed) {
    const std::int64_t s = spec_.chunk.summary;
    const std::int64_t chunks = std::max(summarised_, spec_.chunk.complete(tokens_ + texts) - owed);
    std::vector<PageCopy> copies;
    kv_.prepare(
        {.text_from = tokens_, .text_to = tokens_ + texts, .summary_from = summarised_ * s, .summary_to = chunks * s},
        copies);
    most_ = {std::max(most_.near, kv_.pages().near), std::max(most_.far, kv_.pages().far)};
    tokens_ += texts;
    summarised_ = chunks;
    for (std::size_t group = 0; group < kv_.groups(); ++group) {
      const LayerRule& rule = spec_.rules[static_cast<std::size_t>(geometry_.groups[group].rule)];
      const bool keeps = rule.sight == Sight::summary;
      kv_.trim(group, {.text_from = text_row_bounds(rule, spec_.chunk, tokens_).text.low,
                       .summary_from = keeps ? 0 : std::numeric_limits<std::int64_t>::max()});
    }
  }

  const SequenceKv& kv() const { return kv_; }
  std::int64_t tokens() const { return tokens_; }
  std::int64_t summarised() const { return summarised_; }
  PageCounts most() const { return most_; }

 private:
  const ModelSpec& spec_;
  const KvGeometry& geometry_;
  PagePool pool_;
  SequenceKv kv_;
  std::int64_t tokens_ = 0;
  std::int64_t summarised_ = 0;
  PageCounts most_;
};

TEST(KvPlanTest, PagesAreWhatASequenceHolds) {
  for (std::uint64_t seed = 0; seed < 120; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const ModelSpec spec = random_spec(random);
    SCOPED_TRACE(describe(spec));
    const KvGeometry geometry = random_geometry(random, spec);
    const KvPlan plan(spec, geometry, 0);
    SimulatedSequence sequence(spec, geometry);
    ASSERT_EQ(plan.pages(0), PageCounts{});
    while (sequence.tokens() < 1000) {
      sequence.step(random.chance(0.9) ? 1 : random.between(1, 60), 0);
      ASSERT_EQ(plan.pages(sequence.tokens()), sequence.kv().pages()) << sequence.tokens();
    }
  }
}

TEST(KvPlanTest, ReportsWhatASequenceHolds) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const ModelSpec spec = random_spec(random);
    SCOPED_TRACE(describe(spec));
    const KvGeometry geometry = random_geometry(random, spec);
    const KvPlan plan(spec, geometry, 0);
    SimulatedSequence sequence(spec, geometry);
    while (sequence.tokens() < 400) {
      sequence.step(random.between(1, 30), 0);
      const KvReport planned = plan.report(sequence.tokens(), nullptr);
      const KvReport held = plan.report(sequence.tokens(), &sequence.kv());
      ASSERT_EQ(planned.held_bytes, held.held_bytes);
      const PageCounts pages = sequence.kv().pages();
      ASSERT_EQ(held.device_bytes, geometry.device_bytes(pages));
      ASSERT_EQ(held.far_bytes, pages.far * geometry.far_page_bytes());
      ASSERT_EQ(held.held_bytes, pages.all() * geometry.page_bytes());  // without k' all pages are of one size
      ASSERT_EQ(planned.far_bytes, held.far_bytes);
      ASSERT_EQ(held.full_bytes, spec.layers * sequence.tokens() * geometry.entry_bytes());
      std::int64_t kinds = 0;
      for (std::size_t i = 0; i < held.kinds.size(); ++i) {
        ASSERT_EQ(held.kinds[i].held_entries, planned.kinds[i].held_entries);
        // Page rounding: less than two pages a track of each group.
        const std::int64_t rounding = held.kinds[i].held_entries - held.kinds[i].entries;
        ASSERT_GE(rounding, 0);
        ASSERT_LE(rounding, 2 * held.kinds[i].layers * (geometry.page_entries - 1));
        kinds += held.kinds[i].entries * held.kinds[i].entry_bytes;
      }
      ASSERT_EQ(kinds, plan.formula_bytes(sequence.tokens()));
    }
  }
}

// The pool is sized by the peak: too little breaks the promise that an admitted sequence never fails, too much is
// waste.
TEST(KvPlanTest, ThePeakIsNeverExceededAndNearlyReached) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const ModelSpec spec = random_spec(random);
    const std::int64_t delay = spec.chunk.any() ? random.below(5) : 0;
    const std::int64_t piece = random.pick<std::int64_t>({1, 2, 7, 16, 33, 100});
    const KvGeometry geometry = random_geometry(random, spec);
    SCOPED_TRACE(describe(spec) + ", piece " + std::to_string(piece) + ", delay " + std::to_string(delay) + ", page " +
                 std::to_string(geometry.page_entries));
    const KvPlan plan(spec, geometry, delay);
    SimulatedSequence sequence(spec, geometry);
    const std::int64_t length = random.between(1, 1500);
    while (sequence.tokens() < length) {
      // The last step is a whole piece: every track then holds the most that it ever does.
      const std::int64_t left = length - sequence.tokens();
      const std::int64_t wanted = random.chance(0.5) ? piece : random.between(1, piece);
      const std::int64_t texts = left > piece ? std::min(left - piece, wanted) : left;
      const std::int64_t after = sequence.tokens() + texts;
      const std::int64_t may_owe = spec.chunk.complete(after) - plan.summaries_due(after);
      const std::int64_t owed = left > piece ? std::min(random.between(0, delay), may_owe) : 0;
      sequence.step(texts, std::max<std::int64_t>(owed, 0));
      ASSERT_TRUE(sequence.most().within(plan.peak_pages(sequence.tokens(), piece))) << sequence.tokens();
    }
    if (length < 1000 || piece > 33) continue;
    // For each track that begins anywhere two pages, one chunk of the window, and the summaries that pass.
    std::int64_t slack = 0;
    for (const KvGroup& group : geometry.groups) {
      const Sight sight = spec.rules[static_cast<std::size_t>(group.rule)].sight;
      if (sight != Sight::full) slack += 2 + spec.chunk.text / geometry.page_entries;
      if (spec.chunk.any() && sight == Sight::full) {
        slack += 2 + (2 + delay) * spec.chunk.summary / geometry.page_entries;
      }
    }
    ASSERT_LE((plan.peak_pages(length, piece) - sequence.most()).all(), slack);
  }
}

TEST(KvPlanTest, TheShortestRestartIsTheFirstLengthWhoseWindowsAreAllThere) {
  for (std::uint64_t seed = 0; seed < 120; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const ModelSpec spec = random_spec(random);
    SCOPED_TRACE(describe(spec));
    const KvGeometry geometry = random_geometry(random, spec);
    const KvPlan plan(spec, geometry, 0);
    for (int i = 0; i < 30; ++i) {
      const std::int64_t tokens = random.between(0, 300);
      // What a row at the end sees is there; a row further ahead must not see more.
      const auto can_set_in = [&](std::int64_t at) {
        return std::all_of(spec.rules.begin(), spec.rules.end(), [&](const LayerRule& rule) {
          return text_row_bounds(rule, spec.chunk, at).text.low >= text_row_bounds(rule, spec.chunk, tokens).text.low;
        });
      };
      std::int64_t expected = 0;
      while (!can_set_in(expected)) ++expected;
      ASSERT_EQ(plan.lowest_restart(tokens), expected) << tokens;
    }
  }
}

TEST(KvPlanTest, SummariesAreDueWhenAnyLayerSeesThem) {
  const ModelSpec spec = make_spec({{}, {Sight::summary, 2}, {}}, {8, 1});
  const KvGeometry geometry = geometry_of(spec, 16);
  const KvPlan plan(spec, geometry, 0);
  EXPECT_EQ(plan.summaries_due(0), 0);
  EXPECT_EQ(plan.summaries_due(3 * 8 - 1), 0);
  EXPECT_EQ(plan.summaries_due(3 * 8), 1);
  EXPECT_EQ(plan.summaries_due(10 * 8 + 5), 8);
  EXPECT_TRUE(plan.has_windows());
  const ModelSpec dense = make_spec({{}, {}}, {});
  const KvGeometry dense_geometry = geometry_of(dense, 16);
  EXPECT_FALSE(KvPlan(dense, dense_geometry, 0).has_windows());
  EXPECT_EQ(KvPlan(dense, dense_geometry, 0).summaries_due(1000), 0);
  EXPECT_EQ(KvPlan(dense, dense_geometry, 0).lowest_restart(1000), 0);
}

// KSA.md, "What must be kept": 6.75 GB against 19.3 GB.
TEST(KvPlanTest, Ksa4bAt131072Tokens) {
  std::vector<LayerRule> layers;
  for (int block = 0; block < 9; ++block) {
    for (int i = 0; i < 3; ++i) layers.push_back({Sight::summary, 128});
    layers.push_back({});
  }
  ModelSpec spec = make_spec(layers, {8, 1});
  spec.kv_heads = 8;
  spec.head_dim = 128;
  const KvGeometry geometry = geometry_of(spec, 16);
  const KvPlan plan(spec, geometry, 0);
  constexpr std::int64_t entry = 4096;
  constexpr std::int64_t n = 131'072;
  // Just before a chunk ends the window holds nearly W + 1 chunks, at its end W.
  EXPECT_EQ(plan.formula_bytes(n), 9 * n * entry + 27 * (1024 + 16'384) * entry);
  EXPECT_EQ(plan.formula_bytes(n + 7), 9 * (n + 7) * entry + 27 * (1031 + 16'384) * entry);
  const std::int64_t stated = 9 * n * entry + 27 * (1032 + 16'384) * entry;
  EXPECT_LE(plan.formula_bytes(n), stated);
  EXPECT_NEAR(static_cast<double>(plan.formula_bytes(n)), 6.75e9, 0.01e9);
  EXPECT_EQ(plan.report(n, nullptr).full_bytes, 36 * n * entry);
  EXPECT_NEAR(static_cast<double>(plan.report(n, nullptr).full_bytes), 19.3e9, 0.05e9);
  // Whole pages: at most one more for each track.
  EXPECT_LE(plan.report(n, nullptr).held_bytes - plan.formula_bytes(n), 2 * 4 * geometry.page_bytes());
  EXPECT_EQ(plan.report(n, nullptr).held_bytes, plan.pages(n).all() * geometry.page_bytes());
}

}  // namespace
}  // namespace precis::test
