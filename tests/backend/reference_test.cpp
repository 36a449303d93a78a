// The reference against formulas written down here once more, without its helpers.
#include "backend/reference/reference_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <limits>

#include "problems.h"

namespace precis {
namespace {

constexpr double tolerance = 2e-6;

void expect_near(double actual, double expected) {
  EXPECT_TRUE(std::abs(actual - expected) <= tolerance * (1 + std::abs(expected)))
      << actual << ", expected " << expected;
}

class ReferenceTest : public testing::Test {
 protected:
  std::uint64_t seed_ = fresh_seed();
  testing::ScopedTrace trace_{__FILE__, __LINE__, "PRECIS_TEST_SEED=" + std::to_string(seed_)};
  Random random_{seed_};
  reference::ReferenceOps ops_;
};

TEST_F(ReferenceTest, LinearIsTheMatrixProduct) {
  // [[1, 2, 3], [-1, 0, 0.5]], exact in every type.
  for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
    Matrix matrix(random_, format_of(type), 2, 3);
    const float weights[] = {1, 2, 3, -1, 0, 0.5F};
    for (std::size_t i = 0; i < 6; ++i) {
      put(matrix.bytes.data() + static_cast<std::int64_t>(i) * size_of(type), type, weights[i]);
    }
    const std::vector<float> x = {1, 10, 100, 99, 2, 0, -4, 99};  // two rows of stride 4
    const std::vector<float> bias = {0.25F, -0.5F};
    std::vector<float> y = {5, 6, 77, 7, 8, 77};  // stride 3
    const LinearPart plain{matrix.view, nullptr, y.data(), 3};
    ops_.linear({x.data(), 4, 2, std::span(&plain, 1), true});
    EXPECT_EQ(y, (std::vector<float>{5 + 321, 6 + 49, 77, 7 - 10, 8 - 4, 77}));
    const LinearPart biased{matrix.view, bias.data(), y.data(), 3};
    ops_.linear({x.data(), 4, 2, std::span(&biased, 1), false});
    EXPECT_EQ(y, (std::vector<float>{321.25F, 48.5F, 77, -9.75F, -4.5F, 77}));
  }
}

TEST_F(ReferenceTest, EmbedAndGatherCopyRows) {
  const Matrix table(random_, WeightFormat::f32, 3, 2);
  const auto* values = reinterpret_cast<const float*>(table.bytes.data());
  const std::vector<std::int32_t> ids = {2, 0, 2};
  std::vector<float> x(6);
  ops_.embed({ids.data(), table.view, x.data(), 3});
  EXPECT_EQ(x, (std::vector<float>{values[4], values[5], values[0], values[1], values[4], values[5]}));
  const std::vector<std::int32_t> unseen = {-2, 0, -1};
  const std::vector<std::int32_t> drawn = {1, 2};
  ops_.embed({unseen.data(), table.view, x.data(), 3, drawn.data()});
  EXPECT_EQ(x, (std::vector<float>{values[4], values[5], values[0], values[1], values[2], values[3]}));
  std::vector<float> y(2);
  const std::int32_t second = 1;
  ops_.gather({x.data(), &second, y.data(), 1, 2});
  EXPECT_EQ(y, (std::vector<float>{values[0], values[1]}));
}

TEST_F(ReferenceTest, MostLikelyIsTheFirstOfTheLargest) {
  const float none = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> logits = {1, 3, 2, 3, none, -5, -5, -7, none, none, none, none, -0.0F, 0, -infinity, none};
  std::vector<std::int32_t> ids(4);
  ops_.most_likely({logits.data(), ids.data(), 4, 4});
  EXPECT_EQ(ids, (std::vector<std::int32_t>{1, 1, 0, 0}));
}

TEST_F(ReferenceTest, DrawFollowsItsDefinition) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const float none = std::numeric_limits<float>::quiet_NaN();
  const float half = 2 * std::log(0.5F);  // as likely, at a temperature of 2
  const std::vector<float> logits = {1 + half, none, 1, -infinity, 1, 1 + 2 * half};
  const auto draw_of = [&](double uniform, float least) {
    const DrawOptions options{.wants = DrawWants::id, .temperature = 2, .least = least, .uniform = uniform};
    RowDraw draw;
    std::int32_t id = -1;
    ops_.draw({logits.data(), &options, &id, &draw, 1, 6});
    EXPECT_EQ(id, 2);
    return draw;
  };
  const RowDraw draw = draw_of(0, -infinity);
  EXPECT_NEAR(draw.sum, 2.75, 1e-6);
  EXPECT_EQ(draw.count, 5);
  EXPECT_EQ(draw.holds_all, 1);
  const std::int32_t order[] = {2, 4, 0, 5, 3};
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(draw.candidates[i].id, order[i]);
    EXPECT_EQ(draw.candidates[i].logit, logits[static_cast<std::size_t>(order[i])]);
  }
  for (const auto& [uniform, id] : {std::pair{0.0, 0}, {0.49, 0}, {0.51, 2}, {1.49, 2}, {1.51, 4}, {2.51, 5}}) {
    EXPECT_EQ(draw_of(uniform / 2.75, -infinity).id, id) << uniform;
  }
  EXPECT_EQ(draw_of(0, -0.1F).id, 2);
  EXPECT_NEAR(draw_of(0, -0.1F).sum, 2, 1e-6);
  EXPECT_EQ(draw_of(std::nextafter(1.0, 0.0), -0.1F).id, 4);
}

TEST_F(ReferenceTest, NormAndGateFollowTheirFormulas) {
  const std::vector<float> x = {3, -4, 12, 0};
  const std::vector<float> weight = {1, 2, 0.5F, 7};
  std::vector<float> y(4);
  ops_.rms_norm({x.data(), weight.data(), y.data(), 1, 4, 0.75F});
  const double rms = std::sqrt((9.0 + 16 + 144) / 4 + 0.75);
  for (std::size_t i = 0; i < 4; ++i) expect_near(y[i], x[i] / rms * weight[i]);

  // x is 3 before the norm and 1.5 behind it.
  const std::vector<float> one = {3};
  const std::vector<float> norm = {1.5F};
  const std::vector<float> matrices = {2, -4, 7, 0.5F};  // gate's two outputs, up's
  const auto weights = [&](std::size_t first) {
    return WeightView{.data = reinterpret_cast<const std::byte*>(matrices.data() + first),
                      .format = WeightFormat::f32,
                      .outputs = 2,
                      .inputs = 1};
  };
  const std::vector<float> bias = {1, -1};
  std::vector<float> gated(2);
  ops_.gate_up({.x = one.data(),
                .rows = 1,
                .gate = {weights(0), bias.data()},
                .up = {weights(2)},
                .norm = {norm.data(), 0},
                .y = gated.data()});
  expect_near(gated[0], 4 / (1 + std::exp(-4.0)) * 10.5);
  expect_near(gated[1], -7 / (1 + std::exp(7.0)) * 0.75);
}

TEST_F(ReferenceTest, RotationTakesAnglesInFloat) {
  const std::vector<std::int32_t> positions = {0, 100003};
  const std::vector<float> frequencies = {1, 0.1234567F};
  std::vector<float> rotation(8);
  ops_.rotation({positions.data(), frequencies.data(), 1.5F, rotation.data(), 2, 2});
  EXPECT_EQ(std::vector<float>(rotation.begin(), rotation.begin() + 4), (std::vector<float>{1.5F, 1.5F, 0, 0}));
  const float rounded = 100003.0F * 0.1234567F;
  expect_near(rotation[5], 1.5 * std::cos(static_cast<double>(rounded)));
  expect_near(rotation[7], 1.5 * std::sin(static_cast<double>(rounded)));
}

// One row, with norms and blending, against complex multiplication and the pool's layout by hand.
TEST_F(ReferenceTest, PlaceNormsBlendsRotatesAndStores) {
  const HeadShape shape{.heads = 2, .kv_heads = 1, .head_dim = 8, .page_entries = 4, .type = DType::f32};
  KvPool pool(shape, 3);
  const std::vector<float> qkv = random_.normals(2 * 32);
  const std::vector<float> own = random_.normals(32);
  const std::vector<float> q_norm = random_.normals(8);
  const std::vector<float> k_norm = random_.normals(8);
  const std::vector<float> rotation = random_.normals(2 * 8);
  const std::vector<std::int64_t> slots = {-1, 2 * 4 + 3};
  std::vector<float> placed = qkv;
  ops_.place({.qkv = placed.data(),
              .own = own.data(),
              .first_summary = 1,
              .mix = 0.3F,
              .q_norm = q_norm.data(),
              .k_norm = k_norm.data(),
              .epsilon = 1e-3F,
              .rotation = rotation.data(),
              .slots = slots.data(),
              .kv = pool.view,
              .rows = 2,
              .heads = 2});
  for (std::size_t row = 0; row < 2; ++row) {
    for (std::size_t head = 0; head < 4; ++head) {
      const auto normed = [&](const float* from, std::size_t i) -> double {
        if (head == 3) return from[head * 8 + i];
        double squares = 0;
        for (std::size_t j = 0; j < 8; ++j) squares += from[head * 8 + j] * static_cast<double>(from[head * 8 + j]);
        return from[head * 8 + i] / std::sqrt(squares / 8 + 1e-3) * (head < 2 ? q_norm : k_norm)[i];
      };
      const auto blended = [&](std::size_t i) {
        const double shared = normed(qkv.data() + row * 32, i);
        return row == 0 ? shared : 0.3 * normed(own.data(), i) + 0.7 * shared;
      };
      for (std::size_t i = 0; i < 4; ++i) {
        std::complex<double> pair(blended(i), blended(i + 4));
        if (head < 3) pair *= std::complex<double>(rotation[row * 8 + i], rotation[row * 8 + 4 + i]);
        expect_near(placed[row * 32 + head * 8 + i], pair.real());
        expect_near(placed[row * 32 + head * 8 + 4 + i], pair.imag());
      }
    }
  }
  // Page 2 of 4 sides of 32 floats; the second layer; entry 3.
  const auto* floats = reinterpret_cast<const float*>(pool.bytes.data());
  std::size_t stored = 0;
  for (std::size_t i = 0; i < pool.bytes.size() / 4; ++i) stored += std::isnan(floats[i]) ? 0U : 1U;
  EXPECT_EQ(stored, 16U);
  const std::size_t key = 2 * 128 + 64 + 3 * 8;
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(floats[key + i], placed[32 + 16 + i]);
    EXPECT_EQ(floats[key + 32 + i], placed[32 + 24 + i]);
  }
}

// Brute force over lists of keys and values kept apart from the pages, with a mask of every row and entry.
TEST_F(ReferenceTest, AttentionIsSoftmaxOverTheVisibleSet) {
  for (const DType type : {DType::f32, DType::bf16, DType::f8_e4m3}) {
    const HeadShape shape{.heads = 6, .kv_heads = 2, .head_dim = 8, .page_entries = 4, .type = type};
    KvPool pool(shape, 12);
    const std::vector<std::int32_t> summary_pages = {7, 2};   // entries 0 to 7
    const std::vector<std::int32_t> text_pages = {11, 0, 5};  // entries 8 to 19
    const std::vector<RowBounds> bounds = {{{8, 9}, {0, 0}}, {{11, 17}, {0, 3}}, {{9, 9}, {2, 8}}, {{8, 20}, {0, 8}}};
    std::vector<std::vector<double>> keys(20);
    std::vector<std::vector<double>> values(20);  // of entry: summaries 0 to 7, text 8 to 19; [kv_heads * head_dim]
    for (std::size_t entry = 0; entry < 20; ++entry) {
      const std::size_t page =
          static_cast<std::size_t>(entry < 8 ? summary_pages[entry / 4] : text_pages[entry / 4 - 2]);
      for (std::size_t i = 0; i < 16; ++i) {
        const auto size = static_cast<std::size_t>(size_of(type));
        const auto rounded = [&](float value) { return type == DType::f8_e4m3 ? to_float(to_f8(value)) : value; };
        const std::size_t at = (page * 256 + 128 + ((i / 8) * 4 + entry % 4) * 8 + i % 8) * size;
        keys[entry].push_back(static_cast<double>(rounded(to_float(to_bf16(random_.normal())))));
        values[entry].push_back(static_cast<double>(rounded(to_float(to_bf16(random_.normal())))));
        put(pool.bytes.data() + at, type, static_cast<float>(keys[entry][i]));
        put(pool.bytes.data() + at + 64 * size, type, static_cast<float>(values[entry][i]));
      }
    }
    const std::vector<float> q = random_.normals(4 * 60);  // stride 60
    std::vector<float> out(4 * 48);
    const RowRun run{0,
                     4,
                     {text_pages.data(), 2, static_cast<std::int32_t>(text_pages.size())},
                     {summary_pages.data(), 0, static_cast<std::int32_t>(summary_pages.size())}};
    ops_.attention({q.data(), 60, out.data(), 6, 0.7F, pool.view, std::span(&run, 1), &run, bounds.data()});
    for (std::size_t row = 0; row < 4; ++row) {
      for (std::size_t head = 0; head < 6; ++head) {
        std::vector<double> sum(8);
        double total = 0;
        for (std::size_t entry = 0; entry < 20; ++entry) {
          const Bounds& seen = entry < 8 ? bounds[row].summary : bounds[row].text;
          const auto number = static_cast<std::int32_t>(entry);
          if (number < seen.low || number >= seen.high) continue;
          double score = 0;
          for (std::size_t d = 0; d < 8; ++d) score += q[row * 60 + head * 8 + d] * keys[entry][head / 3 * 8 + d];
          const double weight = std::exp(score * 0.7);
          total += weight;
          for (std::size_t d = 0; d < 8; ++d) sum[d] += weight * values[entry][head / 3 * 8 + d];
        }
        for (std::size_t d = 0; d < 8; ++d) expect_near(out[row * 48 + head * 8 + d], sum[d] / total);
      }
    }
  }
}

TEST_F(ReferenceTest, PagesAreCopiedInOrder) {
  std::vector<std::byte> pool = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}, std::byte{5}, std::byte{6}};
  const std::vector<PageCopy> copies = {{0, 2}, {2, 1}};
  ops_.copy_pages({pool.data(), 2, copies});
  EXPECT_EQ(pool, (std::vector<std::byte>{std::byte{1}, std::byte{2}, std::byte{1}, std::byte{2}, std::byte{1},
                                          std::byte{2}}));
}

}  // namespace
}  // namespace precis
