#include "model/positions.h"

#include <gtest/gtest.h>

#include "support/random_spec.h"

namespace precis::test {
namespace {

ModelSpec spec_with(std::int64_t k, std::int64_t s, SummaryPositions positions,
                    TextPositions texts = TextPositions::origin) {
  ModelSpec spec = make_spec({{Sight::summary, 1}}, {k, s});
  spec.summary->summary_positions = positions;
  spec.summary->text_positions = texts;
  return spec;
}

std::vector<std::int32_t> of_chunk(const ModelSpec& spec, std::int64_t chunk) {
  std::vector<std::int32_t> positions;
  for (std::int64_t j = 0; j < spec.chunk.summary; ++j) positions.push_back(summary_position(spec, chunk, j));
  return positions;
}

using Positions = std::vector<std::int32_t>;

TEST(PositionsTest, TextCountsFromTheOrigin) {
  const ModelSpec dense = make_spec({{}}, {});
  const ModelSpec ksa = spec_with(8, 1, SummaryPositions::slice_right);
  for (std::int64_t text = 0; text < 100; ++text) {
    EXPECT_EQ(text_position(dense, text), text);
    EXPECT_EQ(text_position(ksa, text), text);
  }
}

TEST(PositionsTest, TextCountsFromItsChunk) {
  const ModelSpec spec = spec_with(5, 1, SummaryPositions::slice_right, TextPositions::inner_chunk);
  Positions positions;
  for (std::int64_t text = 0; text < 12; ++text) positions.push_back(text_position(spec, text));
  EXPECT_EQ(positions, (Positions{0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1}));
}

// Written out by hand from KSA.md: max(c*k, c*k + ((j+1)*k)/S - 1).
TEST(PositionsTest, RightSlices) {
  const auto chunk_3 = [](std::int64_t k, std::int64_t s) {
    return of_chunk(spec_with(k, s, SummaryPositions::slice_right), 3);
  };
  EXPECT_EQ(chunk_3(8, 1), (Positions{31}));
  EXPECT_EQ(chunk_3(8, 2), (Positions{27, 31}));
  EXPECT_EQ(chunk_3(8, 3), (Positions{25, 28, 31}));
  EXPECT_EQ(chunk_3(8, 4), (Positions{25, 27, 29, 31}));
  EXPECT_EQ(chunk_3(5, 2), (Positions{16, 19}));
  EXPECT_EQ(chunk_3(5, 3), (Positions{15, 17, 19}));
  EXPECT_EQ(chunk_3(2, 4), (Positions{6, 6, 6, 7}));
  EXPECT_EQ(chunk_3(1, 1), (Positions{3}));
  EXPECT_EQ(chunk_3(1, 4), (Positions{3, 3, 3, 3}));
}

// max(c*k, c*k + (j*k)/S - 1).
TEST(PositionsTest, LeftSlices) {
  const auto chunk_3 = [](std::int64_t k, std::int64_t s) {
    return of_chunk(spec_with(k, s, SummaryPositions::slice_left), 3);
  };
  EXPECT_EQ(chunk_3(8, 1), (Positions{24}));
  EXPECT_EQ(chunk_3(8, 2), (Positions{24, 27}));
  EXPECT_EQ(chunk_3(8, 3), (Positions{24, 25, 28}));
  EXPECT_EQ(chunk_3(8, 4), (Positions{24, 25, 27, 29}));
  EXPECT_EQ(chunk_3(5, 2), (Positions{15, 16}));
  EXPECT_EQ(chunk_3(2, 4), (Positions{6, 6, 6, 6}));
  EXPECT_EQ(chunk_3(1, 3), (Positions{3, 3, 3}));
}

TEST(PositionsTest, Zeros) {
  for (std::int64_t s = 1; s <= 4; ++s) {
    EXPECT_EQ(of_chunk(spec_with(8, s, SummaryPositions::zeros), 9), Positions(static_cast<std::size_t>(s), 0));
  }
}

// Text that counts from its chunk moves no summary.
TEST(PositionsTest, SummariesCountFromTheOriginAlways) {
  for (const auto positions : {SummaryPositions::slice_right, SummaryPositions::slice_left, SummaryPositions::zeros}) {
    EXPECT_EQ(of_chunk(spec_with(8, 2, positions, TextPositions::inner_chunk), 7),
              of_chunk(spec_with(8, 2, positions), 7));
  }
}

TEST(PositionsTest, EveryChunkMovesByItsLength) {
  for (const auto type : {SummaryPositions::slice_right, SummaryPositions::slice_left}) {
    for (std::int64_t k = 1; k <= 9; ++k) {
      for (std::int64_t s = 1; s <= 4; ++s) {
        const ModelSpec spec = spec_with(k, s, type);
        const Positions first = of_chunk(spec, 0);
        Positions far = of_chunk(spec, 100'000);
        for (auto& position : far) position -= static_cast<std::int32_t>(100'000 * k);
        EXPECT_EQ(first, far);
        EXPECT_TRUE(std::is_sorted(first.begin(), first.end()));
        EXPECT_GE(first.front(), 0);
        EXPECT_LT(first.back(), k);
      }
    }
  }
}

}  // namespace
}  // namespace precis::test
