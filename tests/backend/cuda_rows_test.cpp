// The operations of the cuda backend that take each row by itself, against the reference. Skipped without a GPU.
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "backend/reference/reference_ops.h"
#include "gpu.h"

namespace precis {
namespace {

class CudaRowsTest : public GpuTest {
 protected:
  reference::ReferenceOps reference_;
};

TEST_F(CudaRowsTest, EmbedReadsEveryFormat) {
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::f16, WeightFormat::bf16, WeightFormat::q8,
                                    WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    for (const std::int64_t inputs : {32, 96, 192, 288, 704}) {
      const Matrix table(random_, format, 50, inputs);
      std::vector<std::int32_t> ids;
      std::vector<std::int32_t> drawn;
      for (int i = 0; i < 20; ++i) drawn.push_back(static_cast<std::int32_t>(random_.between(0, 49)));
      for (int i = 0; i < 70; ++i) ids.push_back(static_cast<std::int32_t>(random_.between(-20, 49)));
      const auto solve = [&](Ops& ops) {
        std::vector<float> x(static_cast<std::size_t>(70 * inputs));
        ops.embed({ids.data(), table.view, x.data(), 70, drawn.data()});
        return x;
      };
      SCOPED_TRACE(testing::Message() << name_of(format) << " inputs " << inputs);
      expect_same_bits(solve(*ops_), solve(reference_));
    }
  }
}

TEST_F(CudaRowsTest, EmbedReadsRowsOfAnyLength) {
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::f16, WeightFormat::bf16}) {
    for (const std::int64_t inputs : {1, 3, 257}) {
      const Matrix table(random_, format, 9, inputs);
      const std::vector<std::int32_t> ids = {8, 0, 3, 3};
      const auto solve = [&](Ops& ops) {
        std::vector<float> x(static_cast<std::size_t>(4 * inputs));
        ops.embed({ids.data(), table.view, x.data(), 4});
        return x;
      };
      expect_same_bits(solve(*ops_), solve(reference_));
    }
  }
}

TEST_F(CudaRowsTest, RowOperationsMatch) {
  for (const std::int64_t width : {1, 7, 16, 24, 40, 255, 256, 704, 4096}) {
    for (const std::int64_t rows : {1, 3, 40}) {
      SCOPED_TRACE(testing::Message() << "width " << width << " rows " << rows);
      const std::vector<float> x = random_.normals(rows * 2 * width);
      const std::vector<float> weight = random_.normals(width);
      const auto norm = [&](Ops& ops, bool in_place) {
        std::vector<float> y(x.begin(), x.begin() + rows * width);
        ops.rms_norm({in_place ? y.data() : x.data(), weight.data(), y.data(), rows, width, 1e-5F});
        return y;
      };
      for (const bool in_place : {false, true}) {
        expect_close(norm(*ops_, in_place), norm(reference_, in_place), 4e-6F);
      }
      const auto gather = [&](Ops& ops) {
        const std::vector<std::int32_t> picked = {static_cast<std::int32_t>(rows - 1), 0,
                                                  static_cast<std::int32_t>(rows / 2)};
        std::vector<float> y(static_cast<std::size_t>(3 * width));
        ops.gather({x.data(), picked.data(), y.data(), 3, width});
        return y;
      };
      expect_same_bits(gather(*ops_), gather(reference_));
    }
  }
}

TEST_F(CudaRowsTest, NormGivesEachRowTheSameBitsInAnyBatch) {
  constexpr std::int64_t width = 2560;
  const std::vector<float> x = random_.normals(9 * width);
  const std::vector<float> weight = random_.normals(width);
  std::vector<float> whole(x.size());
  ops_->rms_norm({x.data(), weight.data(), whole.data(), 9, width, 1e-6F});
  std::vector<float> alone(x.size());
  for (std::int64_t row = 0; row < 9; ++row) {
    ops_->rms_norm({x.data() + row * width, weight.data(), alone.data() + row * width, 1, width, 1e-6F});
  }
  expect_same_bits(alone, whole);
}

TEST_F(CudaRowsTest, GateHoldsAtExtremes) {
  // x is 1: a matrix of one column is its products.
  const std::vector<float> gates = {-1000, -95, 90, 1000, 0};
  const std::vector<float> ups(5, 1);
  const auto weights = [](const std::vector<float>& column) {
    return WeightView{.data = reinterpret_cast<const std::byte*>(column.data()),
                      .format = WeightFormat::f32,
                      .outputs = 5,
                      .inputs = 1};
  };
  const std::vector<float> one = {1};
  std::vector<float> y(5);
  ops_->gate_up(
      {.x = one.data(), .rows = 1, .gate = {weights(gates)}, .up = {weights(ups)}, .norm = {}, .y = y.data()});
  EXPECT_EQ(y, (std::vector<float>{0, 0, 90, 1000, 0}));
}

TEST_F(CudaRowsTest, RotationMatches) {
  std::vector<std::int32_t> positions;
  for (int i = 0; i < 300; ++i) positions.push_back(static_cast<std::int32_t>(random_.between(0, 1 << 20)));
  const std::vector<float> frequencies = random_.normals(20);
  const auto solve = [&](Ops& ops) {
    std::vector<float> rotation(300 * 40);
    ops.rotation({positions.data(), frequencies.data(), 1.1F, rotation.data(), 300, 20});
    return rotation;
  };
  expect_close(solve(*ops_), solve(reference_), 2e-7F);
}

TEST_F(CudaRowsTest, PlaceMatches) {
  for (const DType type : {DType::f32, DType::bf16, DType::f8_e4m3}) {
    for (const std::int64_t head_dim : {8, 16, 24, 64, 80, 96, 128, 136, 256}) {
      for (const bool norms : {false, true}) {
        for (const bool blended : {false, true}) {
          const HeadShape shape{.heads = 3 * random_.between(1, 2),
                                .kv_heads = 3,
                                .head_dim = head_dim,
                                .page_entries = random_.between(1, 5),
                                .type = type};
          const std::int64_t rows = random_.between(1, 12);
          const std::int64_t width = (shape.heads + 2 * shape.kv_heads) * head_dim;
          const std::int64_t first_summary = random_.between(0, rows);
          const std::vector<float> qkv = random_.normals(rows * width);
          const std::vector<float> own = random_.normals((rows - first_summary) * width);
          const std::vector<float> weights = random_.normals(2 * head_dim);
          const std::vector<float> rotation = random_.normals(rows * head_dim);
          std::vector<std::int64_t> slots(static_cast<std::size_t>(rows + 3));
          for (std::size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<std::int64_t>(i);
          random_.shuffle(slots);
          for (std::int64_t& slot : slots) slot = random_.between(0, 4) == 0 ? -1 : slot;
          const auto solve = [&](Ops& ops) {
            KvPool pool(shape, rows + 3);
            std::vector<float> placed = qkv;
            ops.place({placed.data(), blended ? own.data() : nullptr, first_summary, 0.6F,
                       norms ? weights.data() : nullptr, norms ? weights.data() + head_dim : nullptr, 1e-6F,
                       rotation.data(), slots.data(), pool.view, rows, shape.heads});
            const auto size = static_cast<std::size_t>(size_of(type));
            for (std::size_t at = 0; at < pool.bytes.size(); at += size) {  // untouched NaNs as a number
              const float value = stored(&pool.bytes[at], type);
              placed.push_back(std::isnan(value) ? -1000 : value);
            }
            return placed;
          };
          SCOPED_TRACE(testing::Message() << name_of(type) << " head_dim " << head_dim << " norms " << norms);
          const std::vector<float> actual = solve(*ops_);
          const std::vector<float> expected = solve(reference_);
          const auto activations = static_cast<std::ptrdiff_t>(qkv.size());
          expect_close({actual.begin(), actual.begin() + activations},
                       {expected.begin(), expected.begin() + activations}, 1e-5F);
          expect_close(actual, expected, type == DType::f32 ? 1e-5F : rounding(type));
        }
      }
    }
  }
}

TEST_F(CudaRowsTest, StoredBytesAreRoundedToNearestEven) {
  const HeadShape shape{.heads = 1, .kv_heads = 1, .head_dim = 256, .page_entries = 1, .type = DType::f8_e4m3};
  const std::vector<float> rotation(256, 0);
  const std::int64_t slot = 0;
  for (std::uint32_t first = 0; first < (1U << 16); first += 256) {
    KvPool pool(shape, 1);
    std::vector<float> qkv(3 * 256, 0);
    for (std::uint32_t i = 0; i < 256; ++i) qkv[512 + i] = std::bit_cast<float>((first + i) << 16 | i % 7);
    const std::vector<float> values(qkv.begin() + 512, qkv.end());
    ops_->place(
        {.qkv = qkv.data(), .rotation = rotation.data(), .slots = &slot, .kv = pool.view, .rows = 1, .heads = 1});
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(values[i])) continue;  // whose sign may be lost
      const auto bits = static_cast<std::uint8_t>(pool.view.key(0, 0, 0)[pool.view.value_offset + std::int64_t(i)]);
      ASSERT_EQ(bits, to_f8(values[i]).bits) << values[i];
    }
  }
}

TEST_F(CudaRowsTest, StoredValuesAreRoundedToNearestEven) {
  const HeadShape shape{.heads = 1, .kv_heads = 1, .head_dim = 8, .page_entries = 1, .type = DType::bf16};
  KvPool pool(shape, 1);
  std::vector<float> qkv(24, 0);
  const float values[] = {1 + 0x1p-8F, 1 + 0x3p-8F, 1 + 0x1.1p-8F, -1 - 0x1p-8F,
                          3.4e38F,     1e-40F,      std::nanf(""), std::numeric_limits<float>::infinity()};
  std::copy(std::begin(values), std::end(values), qkv.begin() + 16);
  const std::vector<float> rotation(8, 0);
  const std::int64_t slot = 0;
  ops_->place({.qkv = qkv.data(), .rotation = rotation.data(), .slots = &slot, .kv = pool.view, .rows = 1, .heads = 1});
  for (std::int64_t i = 0; i < 8; ++i) {
    Bf16 stored;
    std::memcpy(&stored, pool.view.key(0, 0, 0) + pool.view.value_offset + 2 * i, 2);
    if (std::isnan(values[i])) {
      EXPECT_TRUE(std::isnan(to_float(stored)));
    } else {
      EXPECT_EQ(stored.bits, to_bf16(values[i]).bits) << values[i];
    }
  }
}

TEST_F(CudaRowsTest, MostLikelyMatches) {
  for (const std::int64_t vocabulary : {1, 2, 31, 255, 256, 257, 12288, 12289, 151936}) {
    expect_same_choice(*ops_, reference_, random_, vocabulary);
  }
}

TEST_F(CudaRowsTest, DrawMatches) {
  for (const std::int64_t vocabulary : {1, 2, 255, 256, 257, 1023, 1024, 1025, 4097, 12289, 151936, 300'001}) {
    expect_same_draws(*ops_, reference_, random_, hard_logits(random_, vocabulary), 1 << 30);
  }
}

// Wherever the likely ids are: anywhere, at either end, side by side, in order, all equally likely.
TEST_F(CudaRowsTest, DrawFindsAllCandidates) {
  for (const std::int64_t vocabulary : {700, 32'000, 151'936, 262'144}) {
    std::vector<std::vector<float>> rows(7, random_.normals(vocabulary));
    for (std::int64_t i = 0; i < 600; ++i) {
      rows[1][static_cast<std::size_t>(i)] += 10;
      rows[2][static_cast<std::size_t>(vocabulary - 1 - i)] += 10;
      rows[3][static_cast<std::size_t>(vocabulary / 7 + i)] += 10;
    }
    std::ranges::sort(rows[4]);
    std::ranges::sort(rows[5], std::greater());
    rows[6].assign(rows[6].size(), 1);
    expect_same_draws(*ops_, reference_, random_, rows);
  }
}

// Likely ids that leave the same rest: more than can be collected, which must be told.
TEST_F(CudaRowsTest, DrawTellsThatItHasNoCandidates) {
  constexpr std::int64_t vocabulary = 151'936;
  std::vector<float> row = random_.normals(vocabulary);
  for (std::int64_t id = 0; id < vocabulary; ++id) {
    if (id % 3072 < 100) row[static_cast<std::size_t>(id)] += 20;
  }
  expect_same_draws(*ops_, reference_, random_, {row, random_.normals(vocabulary), row}, 1 << 30);
}

TEST_F(CudaRowsTest, DrawGivesEachRowTheSameInAnyBatch) {
  constexpr std::int64_t vocabulary = 151'936;
  constexpr std::int64_t rows = 40;
  const std::vector<float> logits = random_.normals(rows * vocabulary);
  std::vector<DrawOptions> options(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    options[row].wants = row % 2 == 0 ? DrawWants::id : DrawWants::candidates_and_sum;
    options[row].temperature = 0.5F + 0.1F * static_cast<float>(row);
    options[row].uniform = static_cast<double>(row) / rows;
  }
  std::vector<std::int32_t> ids(rows);
  std::vector<RowDraw> whole(rows);
  ops_->draw({logits.data(), options.data(), ids.data(), whole.data(), rows, vocabulary});
  for (std::size_t row = 0; row < rows; ++row) {
    RowDraw alone;
    ops_->draw({logits.data() + row * vocabulary, &options[row], &ids[row], &alone, 1, vocabulary});
    EXPECT_EQ(std::bit_cast<std::uint64_t>(alone.sum), std::bit_cast<std::uint64_t>(whole[row].sum));
    expect_same_draw(alone, whole[row], options[row].wants, true);
  }
}

TEST_F(CudaRowsTest, PagesAreCopiedInOrder) {
  const std::vector<float> start = random_.normals(12 * 16);
  const auto solve = [&](Ops& ops) {
    std::vector<float> pool = start;
    const PageCopy copies[] = {{0, 3}, {3, 1}, {4, 0}};
    // Two pages' parts, 5 of each, with something behind each 5.
    ops.copy_pages({reinterpret_cast<std::byte*>(pool.data()), 64, copies, 2, 6 * 64});
    return pool;
  };
  expect_same_bits(solve(*ops_), solve(reference_));
}

TEST_F(CudaRowsTest, NoRowsIsNoWork) {
  Ops& ops = device_->ops();
  ops.linear({nullptr, 0, 0, {}, false});
  ops.rms_norm({nullptr, nullptr, nullptr, 0, 8, 1});
  ops.copy_pages({nullptr, 64, {}});
  ops.attention({.heads = 2, .kv = {.page_entries = 1, .kv_heads = 1, .head_dim = 8}, .runs = {}});
  ops.to_device(nullptr, nullptr, 0);
}

}  // namespace
}  // namespace precis
