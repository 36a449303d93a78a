// Visible sets against a mask that is decided pair by pair from the words of KSA.md, "What each token sees".
#include "attention/visible_set.h"

#include <gtest/gtest.h>

#include <vector>

namespace precis::test {
namespace {

// One token of the sequence as the model sees it: after every k text tokens come S summary tokens.
struct Token {
  bool summary;
  std::int64_t chunk;
  std::int64_t index;  // among text tokens; a summary token: 0 .. S-1 in its chunk
};

std::vector<Token> interleaved(const ChunkShape& chunk, std::int64_t texts) {
  std::vector<Token> tokens;
  for (std::int64_t text = 0; text < texts; ++text) {
    tokens.push_back({false, chunk.any() ? text / chunk.text : 0, text});
    if (!chunk.any() || (text + 1) % chunk.text != 0) continue;
    for (std::int64_t j = 0; j < chunk.summary; ++j) tokens.push_back({true, text / chunk.text, j});
  }
  return tokens;
}

// KSA.md, sentence by sentence. `query` and `key` are places in the interleaved sequence.
bool sees(const LayerRule& rule, const Token& query, const Token& key) {
  if (query.summary) {
    if (key.chunk != query.chunk) return false;
    return !key.summary || key.index <= query.index;
  }
  switch (rule.sight) {
    case Sight::full:
      return !key.summary && key.index <= query.index;
    case Sight::window:
      return !key.summary && key.index <= query.index && query.index - key.index < rule.window;
    case Sight::summary:
      if (key.summary) return key.chunk < query.chunk - rule.window;
      return key.index <= query.index && key.chunk >= query.chunk - rule.window;
  }
  return false;
}

bool contains(const RowBounds& bounds, const ChunkShape& chunk, const Token& key) {
  const Bounds& track = key.summary ? bounds.summary : bounds.text;
  const std::int64_t entry = key.summary ? key.chunk * chunk.summary + key.index : key.index;
  return entry >= track.low && entry < track.high;
}

RowBounds bounds_of(const LayerRule& rule, const ChunkShape& chunk, const Token& query) {
  return query.summary ? summary_row_bounds(chunk, query.chunk, query.index)
                       : text_row_bounds(rule, chunk, query.index);
}

void compare_sets(const LayerRule& rule, const ChunkShape& chunk, std::int64_t texts) {
  const std::vector<Token> tokens = interleaved(chunk, texts);
  for (const Token& query : tokens) {
    const RowBounds bounds = bounds_of(rule, chunk, query);
    std::int64_t seen = 0;
    for (const Token& key : tokens) {
      const bool expected = sees(rule, query, key);
      seen += expected ? 1 : 0;
      if (contains(bounds, chunk, key) != expected) {
        FAIL() << "k " << chunk.text << ", S " << chunk.summary << ", window " << rule.window << ": query "
               << (query.summary ? "summary " : "text ") << query.index << " of chunk " << query.chunk << ", key "
               << (key.summary ? "summary " : "text ") << key.index << " of chunk " << key.chunk;
      }
    }
    // Nothing beyond the tokens that there are.
    ASSERT_EQ(bounds.text.high - bounds.text.low + bounds.summary.high - bounds.summary.low, seen);
  }
}

constexpr std::int64_t windows_in_chunks[] = {0, 1, 2, 3, 7, 13, 40, 100};

TEST(VisibleSetTest, SummaryLayersSeeWhatTheTextSays) {
  for (std::int64_t k = 1; k <= 8; ++k) {
    for (std::int64_t s = 1; s <= 4; ++s) {
      for (const std::int64_t window : windows_in_chunks) {
        compare_sets({Sight::summary, window}, {k, s}, 125);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(VisibleSetTest, FullLayersOfSummaryModelsSeeNoSummaries) {
  for (std::int64_t k = 1; k <= 8; ++k) {
    for (std::int64_t s = 1; s <= 4; ++s) compare_sets({}, {k, s}, 60);
  }
}

TEST(VisibleSetTest, DenseLayersAreCausal) {
  compare_sets({}, {}, 200);
}

TEST(VisibleSetTest, SlidingWindowsCountTheTokenItself) {
  for (const std::int64_t window : {1, 2, 5, 16, 17, 99, 200, 300}) compare_sets({Sight::window, window}, {}, 200);
}

TEST(VisibleSetTest, AbsurdlyLargeWindowsDoNotOverflow) {
  compare_sets({Sight::window, std::int64_t{1} << 31}, {}, 40);
  compare_sets({Sight::summary, std::int64_t{1} << 31}, {8, 1}, 40);
}

// Chunks whose summaries the text token with index `tokens` sees.
std::int64_t summarised_chunks_seen(const LayerRule& rule, const ChunkShape& chunk, std::int64_t tokens) {
  const Token query{false, tokens / chunk.text, tokens};
  std::int64_t chunks = 0;
  for (std::int64_t c = 0; c < tokens / chunk.text; ++c) chunks += sees(rule, query, {true, c, 0}) ? 1 : 0;
  return chunks;
}

// An entry may be dropped exactly when no later text row sees it, and no summary that is not due yet is made of it.
void compare_kept(const LayerRule& rule, const ChunkShape& chunk, std::int64_t most) {
  for (std::int64_t tokens = 0; tokens <= most; ++tokens) {
    const std::int64_t kept = text_kept_from(rule, chunk, tokens);
    const std::int64_t due = summaries_due(rule, chunk, tokens);
    if (rule.sight == Sight::summary) {
      ASSERT_EQ(due, summarised_chunks_seen(rule, chunk, tokens)) << tokens;
    } else {
      ASSERT_EQ(due, 0);
    }
    for (std::int64_t entry = 0; entry < tokens; ++entry) {
      const Token key{false, chunk.any() ? entry / chunk.text : 0, entry};
      bool needed = rule.sight == Sight::summary && key.chunk >= due;
      for (std::int64_t later = tokens; later <= most && !needed; ++later) {
        needed = sees(rule, {false, chunk.any() ? later / chunk.text : 0, later}, key);
      }
      ASSERT_EQ(entry >= kept, needed) << "k " << chunk.text << ", window " << rule.window << ": entry " << entry
                                       << " of " << tokens;
    }
  }
}

TEST(VisibleSetTest, TextIsKeptExactlyWhileSomeoneMaySeeIt) {
  for (const std::int64_t k : {1, 2, 5, 8}) {
    for (const std::int64_t window : {0, 1, 2, 7, 100}) compare_kept({Sight::summary, window}, {k, 1}, 60);
  }
  for (const std::int64_t window : {1, 2, 16, 100}) compare_kept({Sight::window, window}, {}, 60);
  compare_kept({}, {}, 60);
  compare_kept({}, {8, 2}, 60);
}

TEST(VisibleSetTest, OnlySummaryLayersKeepSummaries) {
  EXPECT_TRUE(keeps_summaries({Sight::summary, 3}));
  EXPECT_FALSE(keeps_summaries({Sight::window, 3}));
  EXPECT_FALSE(keeps_summaries({}));
}

}  // namespace
}  // namespace precis::test
