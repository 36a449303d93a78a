// Attention of the cuda backend against the reference: rows of short runs, which are split, and of long ones, which
// tensor cores compute; and a split row's bits in any batch. Skipped without a GPU.
#include "backend/reference/reference_ops.h"
#include "gpu.h"

namespace precis {
namespace {

// What rounding q and the weights to bf16 makes of an output of averages. The same with K and V in e4m3, which tiles
// read as bf16 without another rounding.
constexpr double tile_tolerance = 0.015;

constexpr DType rounded_types[] = {DType::bf16, DType::f8_e4m3};

class CudaAttentionTest : public GpuTest {
 protected:
  static void trace(testing::Message& message, const HeadShape& shape) {
    message << name_of(shape.type) << " head_dim " << shape.head_dim << " page " << shape.page_entries << " heads "
            << shape.heads << "/" << shape.kv_heads;
  }

  HeadShape random_shape(DType type, std::int64_t head_dim, std::int64_t page_entries) {
    const std::int64_t ratios[] = {1, 2, 3, 4, 5, 7, 8, 16};
    HeadShape shape{
        .kv_heads = random_.between(1, 3), .head_dim = head_dim, .page_entries = page_entries, .type = type};
    shape.heads = shape.kv_heads * ratios[random_.between(0, 7)];
    return shape;
  }

  // Runs of any length through the kernels that they are made for.
  void compare(const AttentionProblem& problem, const HeadShape& shape, double tolerance) {
    testing::Message message;
    trace(message, shape);
    SCOPED_TRACE(message);
    expect_rows_near(problem.solve(*ops_), problem.solve(reference_), shape.head_dim, tolerance);
  }

  // Rows one by one, which are always split, and as exact as floats are or two bf16 that stand for one: these leave
  // 2^-17 over. Two halves, with e4m3, leave 2^-22; what is lost then is what tensor cores lose as they add.
  void compare_split(const AttentionProblem& problem, const HeadShape& shape, float sharpness = 1) {
    testing::Message message;
    trace(message, shape);
    SCOPED_TRACE(message);
    const float tolerance = shape.type == DType::f32 ? 1e-5F : 3e-5F;
    expect_close(problem.solve(*ops_, 1), problem.solve(reference_), tolerance * sharpness);
  }

  reference::ReferenceOps reference_;
};

TEST_F(CudaAttentionTest, SplitRowsMatch) {
  for (const DType type : {DType::f32, DType::bf16, DType::f8_e4m3}) {
    for (const std::int64_t head_dim : {8, 16, 32, 40, 64, 80, 96, 128, 136, 256}) {
      for (const std::int64_t page_entries : {1, 4, 5, 16, 64, 100}) {
        const HeadShape shape = random_shape(type, head_dim, page_entries);
        std::vector<std::vector<RowBounds>> sequences;
        for (std::int64_t i = random_.between(1, 4); i > 0; --i) {
          sequences.push_back(random_rows(random_, random_.between(1, 12), random_.between(0, 300)));
        }
        const float sharpness = random_.between(0, 3) == 0 ? 8.0F : 1.0F;
        compare_split(AttentionProblem(random_, shape, sequences, sharpness), shape, sharpness);
      }
    }
  }
}

TEST_F(CudaAttentionTest, TiledRowsMatch) {
  for (const DType type : rounded_types) {
    const std::int64_t fewest = type == DType::f8_e4m3 ? 128 : 17;
    for (const std::int64_t head_dim : {64, 80, 96, 128, 256}) {
      for (const std::int64_t page_entries : {1, 4, 5, 16, 32, 64, 100}) {
        const HeadShape shape = random_shape(type, head_dim, page_entries);
        std::vector<std::vector<RowBounds>> sequences;
        for (std::int64_t i = random_.between(1, 3); i > 0; --i) {
          sequences.push_back(random_rows(random_, random_.between(fewest, 150), random_.between(0, 300)));
        }
        compare(AttentionProblem(random_, shape, sequences), shape, tile_tolerance);
      }
    }
  }
}

// Long and short runs side by side, as a step has them; none, half and all of the pages far.
TEST_F(CudaAttentionTest, MixedRunsMatch) {
  for (const std::int64_t head_dim : {64, 128}) {
    for (int round = 0; round < 12; ++round) {
      const HeadShape shape = random_shape(rounded_types[round % 2], head_dim, 16);
      std::vector<std::vector<RowBounds>> sequences;
      for (int i = 0; i < 12; ++i) {
        const std::int64_t rows = random_.between(0, 2) == 0 ? random_.between(20, 90) : random_.between(1, 4);
        sequences.push_back(random_rows(random_, rows, random_.between(0, 200)));
      }
      compare(AttentionProblem(random_, shape, sequences, 1, round % 3 / 2.0), shape, tile_tolerance);
    }
  }
}

// More runs than a launch takes.
TEST_F(CudaAttentionTest, ManyRunsMatch) {
  for (const DType type : rounded_types) {
    const HeadShape shape{.heads = 4, .kv_heads = 2, .head_dim = 64, .type = type};
    const std::int64_t long_run = type == DType::f8_e4m3 ? 64 : 10;
    std::vector<std::vector<RowBounds>> sequences;
    for (int i = 0; i < 300; ++i) {
      sequences.push_back(random_rows(random_, i % 2 == 0 ? 1 : long_run, random_.between(0, 100)));
    }
    compare(AttentionProblem(random_, shape, sequences), shape, tile_tolerance);
  }
}

TEST_F(CudaAttentionTest, FloatKeysOfLongRunsMatch) {
  for (const std::int64_t rows : {40, 200, 600}) {
    const HeadShape shape{.heads = 8, .kv_heads = 2, .head_dim = 64, .page_entries = 16, .type = DType::f32};
    const AttentionProblem problem(random_, shape, {random_rows(random_, rows, 0), random_rows(random_, 3, 10)});
    expect_close(problem.solve(*ops_), problem.solve(reference_), 1e-5F);
  }
}

// Windows that begin and end on, before and after page and block edges, on either track alone and on both.
TEST_F(CudaAttentionTest, MatchesAtEdges) {
  for (const std::int64_t page_entries : {1, 5, 16, 64}) {
    std::vector<RowBounds> rows;
    for (const std::int64_t edge : {std::int64_t{0}, page_entries, 2 * page_entries, std::int64_t{32}, std::int64_t{64},
                                    std::int64_t{128}, std::int64_t{256}}) {
      for (const std::int64_t low : {edge - 1, edge, edge + 1}) {
        for (const std::int64_t size : {std::int64_t{1}, page_entries, std::int64_t{63}, std::int64_t{64}}) {
          if (low < 0) continue;
          rows.push_back({bounds_of(low, low + size), {}});
          rows.push_back({{}, bounds_of(low, low + size)});
          rows.push_back({bounds_of(low, low + size), bounds_of(0, low)});
        }
      }
    }
    for (const DType type : rounded_types) {
      const HeadShape shape{.page_entries = page_entries, .type = type};
      const AttentionProblem problem(random_, shape, {rows});
      compare(problem, shape, tile_tolerance);
      compare_split(problem, shape);
    }
  }
}

// Dense prompts, KSA's chunks and its summary rows from their begin and from the middle, over many tiles.
TEST_F(CudaAttentionTest, PromptsMatch) {
  for (const std::int64_t group : {1, 4, 8}) {
    for (const std::int64_t start : {0, 1000}) {
      std::vector<RowBounds> dense;
      std::vector<RowBounds> texts;
      std::vector<RowBounds> summaries;
      for (std::int64_t t = start; t < start + 300; ++t) {
        const std::int64_t left = std::max<std::int64_t>(0, t / 8 - 16);
        dense.push_back({bounds_of(0, t + 1), {}});
        texts.push_back({bounds_of(left * 8, t + 1), bounds_of(0, left)});
        summaries.push_back({bounds_of(t * 8, (t + 1) * 8), bounds_of(t, t + 1)});
      }
      for (const DType type : rounded_types) {
        const HeadShape shape{.heads = 2 * group, .kv_heads = 2, .head_dim = 128, .type = type};
        compare(AttentionProblem(random_, shape, {dense, texts, summaries}), shape, tile_tolerance);
      }
    }
  }
}

// Tables of so many pages that what is widened holds one run and 3 of 5 KV heads at a time, and then not even one.
TEST_F(CudaAttentionTest, LongTablesOfEightBitsMatch) {
  const HeadShape shape{.heads = 10, .kv_heads = 5, .head_dim = 128, .page_entries = 16, .type = DType::f8_e4m3};
  for (const std::int64_t pages : {10000, 70000}) {
    std::vector<RowBounds> rows;
    for (std::int64_t i = 0; i < 70; ++i) {
      const std::int64_t low = i % 2 * (pages - 10) * shape.page_entries + i;
      rows.push_back({bounds_of(low, low + 40), bounds_of(i, i + i % 3)});
    }
    compare(AttentionProblem(random_, shape, {rows, rows}), shape, tile_tolerance);
  }
}

// So long that a stretch is several blocks of entries.
TEST_F(CudaAttentionTest, LongRowsMatch) {
  for (const DType type : {DType::bf16, DType::f8_e4m3, DType::f32}) {
    const HeadShape shape{.heads = 2, .kv_heads = 1, .head_dim = 64, .page_entries = 16, .type = type};
    const std::vector<RowBounds> rows = {{bounds_of(0, 8192), {}},
                                         {bounds_of(0, 8193), {}},
                                         {bounds_of(63, 20001), {}},
                                         {bounds_of(19000, 20001), bounds_of(0, 12000)},
                                         {{}, bounds_of(77, 12001)}};
    const AttentionProblem problem(random_, shape, {rows});
    compare_split(problem, shape);
    expect_same_bits(problem.solve_alone(*ops_), problem.solve(*ops_, 1));
  }
}

// Scores far apart: whole stretches count for nothing beside another, whichever comes first.
TEST_F(CudaAttentionTest, MatchesWhereStretchesDifferMuch) {
  const HeadShape shape{.heads = 4, .kv_heads = 2, .head_dim = 32};
  const AttentionProblem problem(random_, shape,
                                 {random_rows(random_, 20, 900), {{bounds_of(0, 1500), bounds_of(100, 700)}}}, 60);
  expect_close(problem.solve(*ops_, 1), problem.solve(reference_), 1e-3F);
}

TEST_F(CudaAttentionTest, SplitRowsHaveTheSameBitsInAnyBatch) {
  for (const DType type : {DType::bf16, DType::f8_e4m3, DType::f32}) {
    for (const std::int64_t group : {1, 2, 3, 8}) {
      for (const std::int64_t head_dim : {64, 80, 128}) {
        const HeadShape shape{
            .heads = 2 * group, .kv_heads = 2, .head_dim = head_dim, .page_entries = 16, .type = type};
        std::vector<std::vector<RowBounds>> sequences;
        for (int i = 0; i < 8; ++i) {
          sequences.push_back(random_rows(random_, random_.between(1, 2), random_.between(0, 900)));
        }
        const AttentionProblem problem(random_, shape, sequences);
        const std::vector<float> whole = problem.solve(*ops_);
        expect_same_bits(problem.solve(*ops_, 1), whole);
        expect_same_bits(problem.solve_alone(*ops_), whole);
      }
    }
  }
}

// However a prompt is cut, as long as tiles compute it: other rows' blocks of entries leave what a row has as it is.
TEST_F(CudaAttentionTest, TiledRowsHaveTheSameBitsInAnyCut) {
  for (const DType type : rounded_types) {
    for (const std::int64_t group : {1, 4, 5}) {
      if (type == DType::f8_e4m3 && group == 1) continue;  // pieces are too short
      for (const std::int64_t head_dim : {64, 80, 128, 256}) {
        const HeadShape shape{
            .heads = 2 * group, .kv_heads = 2, .head_dim = head_dim, .page_entries = 16, .type = type};
        const AttentionProblem problem(random_, shape, {random_rows(random_, 160, 0), random_rows(random_, 120, 700)});
        const std::vector<float> whole = problem.solve(*ops_);
        expect_same_bits(problem.solve(*ops_, 40), whole);
        expect_same_bits(problem.solve(*ops_, 60), whole);
      }
    }
  }
}

// Rows that see one entry each get its values as they are: the first two entries have all codes there are. The third
// one's key is no number. The split rows' q, times the scores' scale, is far beyond what 16 bits hold; tiles, which
// round scores times that scale, lose no more than a float's last bits where it is small.
TEST_F(CudaAttentionTest, EveryNumberOfEightBitsIsReadExactly) {
  const HeadShape shape{.heads = 2, .kv_heads = 1, .head_dim = 128, .page_entries = 4, .type = DType::f8_e4m3};
  KvPool pool(shape, 1);
  for (std::int64_t entry = 0; entry < 3; ++entry) {
    std::byte* key = pool.view.key(0, 0, entry);
    for (std::int64_t d = 0; d < shape.head_dim; ++d) {
      key[d] = static_cast<std::byte>(entry == 2 && d == 5 ? 0x7f : 0x7e);
      key[pool.view.value_offset + d] = static_cast<std::byte>(entry * shape.head_dim + d);
    }
  }
  const std::int32_t page = 0;
  for (const bool tiles : {false, true}) {
    const std::int32_t count = tiles ? 90 : 3;
    const float scale = tiles ? 1e-3F : 1e6F;
    std::vector<RowBounds> bounds;
    for (std::int64_t row = 0; row < count; ++row) bounds.push_back({bounds_of(row % 3, row % 3 + 1), {}});
    const RowRun run{.first_row = 0, .rows = count, .text = {&page, 0, 1}, .summary = {}};
    const std::int64_t width = shape.heads * shape.head_dim;
    const std::vector<float> q = random_.normals(count * width);
    std::vector<float> out(q.size(), -7);
    ops_->attention({q.data(), width, out.data(), shape.heads, scale, pool.view, {&run, 1}, &run, bounds.data()});
    for (std::size_t at = 0; at < out.size(); ++at) {
      const auto entry = static_cast<std::int64_t>(at) / width % 3;
      const auto code = static_cast<std::uint8_t>(entry * shape.head_dim + static_cast<std::int64_t>(at) % 128);
      const float expected = to_float(F8{code});
      if (entry == 2 || std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(out[at])) << "row " << at / static_cast<std::size_t>(width) << " code " << int{code};
      } else {
        ASSERT_NEAR(out[at], expected, tiles ? 1e-6F * std::abs(expected) : 0)
            << "row " << at / static_cast<std::size_t>(width) << " code " << int{code};
      }
    }
  }
}

TEST_F(CudaAttentionTest, RefusesHeadsThatItCannotRead) {
  const HeadShape shape{.heads = 2, .kv_heads = 1, .head_dim = 12};
  const AttentionProblem problem(random_, shape, {{{bounds_of(0, 1), {}}}});
  try {
    problem.solve(*ops_);
    FAIL() << "no error";
  } catch (const std::exception& error) {
    EXPECT_STREQ(error.what(), "head_dim: 12, the cuda backend takes multiples of 8 up to 256");
  }
}

}  // namespace
}  // namespace precis
