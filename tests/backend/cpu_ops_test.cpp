// The CPU backend's operations but products against the reference, for each instruction set of this machine.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cpu_fixture.h"

namespace precis {
namespace {

INSTANTIATE_TEST_SUITE_P(Isa, CpuOpsTest, testing::ValuesIn(cpu::available_kernels()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST_P(CpuOpsTest, ExponentialIsAccurate) {
  std::vector<float> x;
  for (float value = -104; value < 88.7F; value += 0.00371F) x.push_back(value);
  for (int i = 0; i < 1000; ++i) x.push_back(random_.normal());
  std::vector<float> y(x.size());
  GetParam()->exponential(x.data(), y.data(), static_cast<std::int64_t>(x.size()));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp(static_cast<double>(x[i]));
    const float rounded = static_cast<float>(exact);
    const double ulp = std::nextafter(rounded, std::numeric_limits<float>::infinity()) - rounded;
    ASSERT_TRUE(std::abs(y[i] - exact) <= 1.5 * ulp) << x[i] << ": " << y[i] << ", expected " << exact;
  }
}

TEST_P(CpuOpsTest, DecayIsAccurateAndEndsAtZero) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> x = {0, -0.0F, -87.7F, -88, -1000, -infinity, std::nanf("")};
  for (float value = -87.3F; value < 0; value += 0.00371F) x.push_back(value);
  std::vector<float> y(x.size());
  GetParam()->decay(x.data(), y.data(), static_cast<std::int64_t>(x.size()));
  EXPECT_EQ(std::vector<float>(y.begin(), y.begin() + 6), (std::vector<float>{1, 1, 0, 0, 0, 0}));
  EXPECT_TRUE(std::isnan(y[6]));
  for (std::size_t i = 7; i < x.size(); ++i) {
    const double exact = std::exp(static_cast<double>(x[i]));
    const float rounded = static_cast<float>(exact);
    const double ulp = std::nextafter(rounded, infinity) - rounded;
    ASSERT_TRUE(std::abs(y[i] - exact) <= 1.5 * ulp) << x[i] << ": " << y[i] << ", expected " << exact;
  }
}

TEST_P(CpuOpsTest, ExponentialKeepsItsLimits) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {0, -0.0F, -infinity, infinity, -1000, 1000, std::nanf(""), 88.8F};
  std::vector<float> y(x.size());
  GetParam()->exponential(x.data(), y.data(), static_cast<std::int64_t>(x.size()));
  EXPECT_TRUE(std::isnan(y[6]));
  y[6] = 0;
  EXPECT_EQ(y, (std::vector<float>{1, 1, 0, infinity, 0, infinity, 0, infinity}));
}

TEST_P(CpuOpsTest, EmbedReadsEveryFormat) {
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::f16, WeightFormat::bf16, WeightFormat::q8,
                                    WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    const Matrix table(random_, format, 50, 192);
    std::vector<std::int32_t> ids;
    std::vector<std::int32_t> drawn;
    for (int i = 0; i < 20; ++i) drawn.push_back(static_cast<std::int32_t>(random_.between(0, 49)));
    for (int i = 0; i < 70; ++i) ids.push_back(static_cast<std::int32_t>(random_.between(-20, 49)));
    const auto solve = [&](Ops& ops) {
      std::vector<float> x(70 * 192);
      ops.embed({ids.data(), table.view, x.data(), 70, drawn.data()});
      return x;
    };
    expect_same_bits(solve(ops_), solve(reference_));
  }
}

TEST_P(CpuOpsTest, HalvesWidenExactly) {
  // Every bit pattern of both 16-bit types, through embed.
  for (const WeightFormat format : {WeightFormat::f16, WeightFormat::bf16}) {
    std::vector<std::uint16_t> bits(1 << 16);
    for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
    const WeightView table{reinterpret_cast<const std::byte*>(bits.data()), nullptr, format, 64, 1024};
    std::vector<std::int32_t> ids(64);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(63 - i);
    std::vector<float> actual(bits.size());
    std::vector<float> expected(bits.size());
    ops_.embed({ids.data(), table, actual.data(), 64});
    reference_.embed({ids.data(), table, expected.data(), 64});
    for (std::size_t i = 0; i < bits.size(); ++i) {
      if (std::isnan(expected[i])) {
        ASSERT_TRUE(std::isnan(actual[i])) << i;
      } else {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(actual[i]), std::bit_cast<std::uint32_t>(expected[i])) << i;
      }
    }
  }
}

TEST_P(CpuOpsTest, RowOperationsMatch) {
  for (const std::int64_t width : {1, 7, 16, 24, 40, 255, 704}) {
    for (const std::int64_t rows : {1, 3, 40}) {
      SCOPED_TRACE(testing::Message() << "width " << width << " rows " << rows);
      const std::vector<float> x = random_.normals(rows * 2 * width);
      const std::vector<float> weight = random_.normals(width);
      const auto norm = [&](Ops& ops) {
        std::vector<float> y(x.begin(), x.begin() + rows * width);
        ops.rms_norm({y.data(), weight.data(), y.data(), rows, width, 1e-5F});
        return y;
      };
      expect_close(norm(ops_), norm(reference_), 2e-6F);
      const auto gather = [&](Ops& ops) {
        const std::vector<std::int32_t> picked = {static_cast<std::int32_t>(rows - 1), 0,
                                                  static_cast<std::int32_t>(rows / 2)};
        std::vector<float> y(static_cast<std::size_t>(3 * width));
        ops.gather({x.data(), picked.data(), y.data(), 3, width});
        return y;
      };
      expect_same_bits(gather(ops_), gather(reference_));
    }
  }
}

// The bits of two products and the gate, for few rows and many, formats of one kind and of two, with norm and biases
// and without.
TEST_P(CpuOpsTest, GateUpMatches) {
  using Formats = std::pair<WeightFormat, WeightFormat>;
  for (const auto& [gate_format, up_format] :
       {Formats{WeightFormat::f32, WeightFormat::f32}, Formats{WeightFormat::bf16, WeightFormat::bf16},
        Formats{WeightFormat::q8, WeightFormat::q8}, Formats{WeightFormat::q4, WeightFormat::q4},
        Formats{WeightFormat::q4, WeightFormat::q8}, Formats{WeightFormat::q5, WeightFormat::q5},
        Formats{WeightFormat::q5, WeightFormat::q6}}) {
    for (const std::int64_t width : {1, 40, 333}) {
      constexpr std::int64_t inputs = 160;
      const Matrix gate(random_, gate_format, width, inputs);
      const Matrix up(random_, up_format, width, inputs);
      const std::vector<float> norm = random_.normals(inputs);
      const std::vector<float> biases = random_.normals(2 * width);
      for (const std::int64_t rows : {1, 2, 4, 5, 9, 200}) {
        for (const bool plain : {true, false}) {
          SCOPED_TRACE(testing::Message() << name_of(gate_format) << " " << name_of(up_format) << " width " << width
                                          << " rows " << rows << " plain " << plain);
          const std::vector<float> x = random_.normals(rows * inputs);
          const LinearWeights gate_weights{gate.view, plain ? nullptr : biases.data()};
          const LinearWeights up_weights{up.view, plain ? nullptr : biases.data() + width};
          const InputNorm on_the_way{plain ? nullptr : norm.data(), 1e-5F};
          const auto solve = [&](Ops& ops) {
            std::vector<float> y(static_cast<std::size_t>(rows * width));
            ops.gate_up({x.data(), rows, gate_weights, up_weights, on_the_way, y.data()});
            return y;
          };
          const auto product = [&](const LinearWeights& weights) {
            std::vector<float> y(static_cast<std::size_t>(rows * width));
            const LinearPart parts[] = {{weights.weight, weights.bias, y.data(), width}};
            ops_.linear({.x = x.data(), .x_stride = inputs, .rows = rows, .parts = parts, .norm = on_the_way});
            return y;
          };
          std::vector<float> expected = product(gate_weights);
          GetParam()->gate({expected.data(), product(up_weights).data(), expected.data(), rows * width});
          const std::vector<float> actual = solve(ops_);
          expect_same_bits(actual, expected);
          if (gate_format == WeightFormat::f32) expect_close(actual, solve(reference_), 2e-4F);
        }
      }
    }
  }
}

// Norming on the way gives the bits of norming before.
TEST_P(CpuOpsTest, NormOnTheWayIsTheNorm) {
  constexpr std::int64_t inputs = 96;
  constexpr std::int64_t stride = 100;
  const std::vector<float> norm = random_.normals(inputs);
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::bf16, WeightFormat::q8, WeightFormat::q6,
                                    WeightFormat::q5, WeightFormat::q4}) {
    const Matrix first(random_, format, 50, inputs);
    const Matrix second(random_, WeightFormat::q8, 30, inputs);
    for (const std::int64_t rows : {1, 3, 8, 30}) {
      SCOPED_TRACE(testing::Message() << name_of(format) << " rows " << rows);
      const std::vector<float> x = random_.normals(rows * stride);
      std::vector<float> normed = x;
      for (std::int64_t row = 0; row < rows; ++row) {
        float* at = normed.data() + row * stride;
        ops_.rms_norm({at, norm.data(), at, 1, inputs, 1e-6F});
      }
      const auto solve = [&](const std::vector<float>& from, const InputNorm& on_the_way) {
        std::vector<float> y(static_cast<std::size_t>(rows * 80));
        const LinearPart parts[] = {{first.view, nullptr, y.data(), 80}, {second.view, nullptr, y.data() + 50, 80}};
        ops_.linear({.x = from.data(), .x_stride = stride, .rows = rows, .parts = parts, .norm = on_the_way});
        return y;
      };
      expect_same_bits(solve(x, {norm.data(), 1e-6F}), solve(normed, {}));
    }
  }
}

TEST_P(CpuOpsTest, GateHoldsAtExtremes) {
  const std::vector<float> x = {-1000, -90, 90, 1000, 0, 1, 1, 1, 1, 1};
  std::vector<float> y(5);
  GetParam()->gate({x.data(), x.data() + 5, y.data(), 5});
  EXPECT_EQ(y, (std::vector<float>{0, 0, 90, 1000, 0}));
}

TEST_P(CpuOpsTest, RotationMatches) {
  std::vector<std::int32_t> positions;
  for (int i = 0; i < 37; ++i) positions.push_back(static_cast<std::int32_t>(random_.between(0, 1 << 20)));
  const std::vector<float> frequencies = random_.normals(20);
  const auto solve = [&](Ops& ops) {
    std::vector<float> rotation(37 * 40);
    ops.rotation({positions.data(), frequencies.data(), 1.1F, rotation.data(), 37, 20});
    return rotation;
  };
  expect_same_bits(solve(ops_), solve(reference_));
}

TEST_P(CpuOpsTest, PlaceMatches) {
  for (const DType type : {DType::f32, DType::bf16, DType::f8_e4m3}) {
    for (const std::int64_t head_dim : {8, 16, 24, 64, 80}) {
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
          const std::int64_t far_pages = random_.between(0, 1) == 0 ? random_.between(0, rows + 3) : 0;
          const auto solve = [&](Ops& ops) {
            KvPool pool(shape, rows + 3, far_pages);
            std::vector<float> placed = qkv;
            ops.place({placed.data(), blended ? own.data() : nullptr, first_summary, 0.6F,
                       norms ? weights.data() : nullptr, norms ? weights.data() + head_dim : nullptr, 1e-6F,
                       rotation.data(), slots.data(), pool.view, rows, shape.heads});
            const auto size = static_cast<std::size_t>(size_of(type));
            for (const std::vector<std::byte>& memory : {pool.bytes, pool.far}) {
              for (std::size_t at = 0; at + size <= memory.size(); at += size) {  // untouched NaNs as a number
                const float value = stored(&memory[at], type);
                placed.push_back(std::isnan(value) ? -1000 : value);
              }
            }
            return placed;
          };
          SCOPED_TRACE(testing::Message() << name_of(type) << " head_dim " << head_dim << " norms " << norms);
          std::vector<float> actual = solve(ops_);
          std::vector<float> expected = solve(reference_);
          const auto activations = static_cast<std::ptrdiff_t>(qkv.size());
          expect_close({actual.begin(), actual.begin() + activations},
                       {expected.begin(), expected.begin() + activations}, 4e-6F);
          expect_close(actual, expected, type == DType::f32 ? 4e-6F : rounding(type));
        }
      }
    }
  }
}

TEST_P(CpuOpsTest, StoredValuesAreRoundedToNearestEven) {
  const HeadShape shape{.heads = 1, .kv_heads = 1, .head_dim = 8, .page_entries = 1, .type = DType::bf16};
  KvPool pool(shape, 1);
  std::vector<float> qkv(24, 0);
  const float values[] = {1 + 0x1p-8F, 1 + 0x3p-8F, 1 + 0x1.1p-8F, -1 - 0x1p-8F,
                          3.4e38F,     1e-40F,      std::nanf(""), std::numeric_limits<float>::infinity()};
  std::copy(std::begin(values), std::end(values), qkv.begin() + 16);
  const std::vector<float> rotation(8, 0);
  const std::int64_t slot = 0;
  ops_.place({.qkv = qkv.data(), .rotation = rotation.data(), .slots = &slot, .kv = pool.view, .rows = 1, .heads = 1});
  for (std::int64_t i = 0; i < 8; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, pool.view.key(0, 0, 0) + pool.view.value_offset + 2 * i, 2);
    EXPECT_EQ(bits, to_bf16(values[i]).bits) << values[i];
  }
}

TEST_P(CpuOpsTest, StoredBytesAreRoundedToNearestEven) {
  constexpr std::int64_t head_dim = 1 << 16;
  const HeadShape shape{.heads = 1, .kv_heads = 1, .head_dim = head_dim, .page_entries = 1, .type = DType::f8_e4m3};
  KvPool pool(shape, 1);
  std::vector<float> qkv(3 * head_dim, 0);
  // Every sign and exponent, and the fraction's first eight bits: all numbers, all ties and what is beside them.
  for (std::uint32_t i = 0; i < head_dim; ++i) {
    qkv[static_cast<std::size_t>(2 * head_dim + i)] = std::bit_cast<float>(i << 16 | (i % 2 == 0 ? 0 : i % 7));
  }
  const std::vector<float> rotation(head_dim, 0);
  const std::int64_t slot = 0;
  const std::vector<float> values(qkv.begin() + 2 * head_dim, qkv.end());
  ops_.place({.qkv = qkv.data(), .rotation = rotation.data(), .slots = &slot, .kv = pool.view, .rows = 1, .heads = 1});
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bits = static_cast<std::uint8_t>(pool.view.key(0, 0, 0)[pool.view.value_offset + std::int64_t(i)]);
    ASSERT_EQ(bits, to_f8(values[i]).bits) << values[i];
  }
}

TEST_P(CpuOpsTest, AttentionMatches) {
  for (const DType type : {DType::f32, DType::bf16, DType::f8_e4m3}) {
    for (const std::int64_t head_dim : {8, 16, 32, 40, 64, 80, 96, 128, 256}) {
      for (const std::int64_t page_entries : {1, 4, 5, 16, 32}) {
        const std::int64_t ratios[] = {1, 2, 3, 4, 8};
        HeadShape shape{
            .kv_heads = random_.between(1, 3), .head_dim = head_dim, .page_entries = page_entries, .type = type};
        shape.heads = shape.kv_heads * ratios[random_.between(0, 4)];
        std::vector<std::vector<RowBounds>> sequences;
        for (std::int64_t i = random_.between(1, 3); i > 0; --i) {
          sequences.push_back(random_rows(random_, random_.between(1, 40), random_.between(0, 150)));
        }
        const float sharpness = random_.between(0, 3) == 0 ? 8.0F : 1.0F;
        const double far = random_.between(0, 1) == 0 ? static_cast<double>(random_.between(0, 4)) / 4 : 0;
        const AttentionProblem problem(random_, shape, sequences, sharpness, far);
        SCOPED_TRACE(testing::Message() << name_of(type) << " head_dim " << head_dim << " page " << page_entries
                                        << " heads " << shape.heads << "/" << shape.kv_heads);
        expect_close(problem.solve(ops_), problem.solve(reference_), 5e-6F * sharpness);
      }
    }
  }
}

// Windows that begin and end on, before and after page and block edges, on either track alone and on both.
TEST_P(CpuOpsTest, AttentionMatchesAtEdges) {
  for (const std::int64_t page_entries : {1, 4, 5, 16, 32}) {
    std::vector<RowBounds> rows;
    for (const std::int64_t edge :
         {std::int64_t{0}, page_entries, 2 * page_entries, std::int64_t{32}, std::int64_t{64}, std::int64_t{256}}) {
      for (const std::int64_t low : {edge - 1, edge, edge + 1}) {
        for (const std::int64_t size : {std::int64_t{1}, page_entries, std::int64_t{31}, std::int64_t{32}}) {
          if (low < 0) continue;
          rows.push_back({bounds_of(low, low + size), {}});
          rows.push_back({{}, bounds_of(low, low + size)});
          rows.push_back({bounds_of(low, low + size), bounds_of(0, low)});
        }
      }
    }
    const AttentionProblem problem(random_, {.page_entries = page_entries, .type = DType::f32}, {rows});
    expect_close(problem.solve(ops_), problem.solve(reference_), 5e-6F);
  }
}

// Long enough for several of the segments that are summed by themselves, on either track.
TEST_P(CpuOpsTest, AttentionMatchesAcrossSegments) {
  for (const DType type : {DType::f32, DType::bf16, DType::f8_e4m3}) {
    for (const std::int64_t page_entries : {1, 5, 16, 32}) {
      std::vector<RowBounds> rows;
      for (const std::int64_t edge : {256, 512, 768}) {
        for (const std::int64_t high : {edge - 1, edge, edge + 1}) {
          rows.push_back({bounds_of(0, high), {}});
          rows.push_back({bounds_of(edge - 3, high), bounds_of(0, high)});
          rows.push_back({{}, bounds_of(high - 1, high + random_.between(0, 300))});
          rows.push_back({bounds_of(random_.between(0, high - 1), high), bounds_of(random_.between(0, 200), 200)});
        }
      }
      const std::int64_t head_dims[] = {2 * random_.between(1, 40), 64, 128};
      const std::int64_t group = random_.between(1, 8);
      const AttentionProblem problem(random_,
                                     {.heads = 2 * group,
                                      .kv_heads = 2,
                                      .head_dim = head_dims[random_.between(0, 2)],
                                      .page_entries = page_entries,
                                      .type = type},
                                     {rows, {rows.begin() + 5, rows.begin() + 6}});
      SCOPED_TRACE(testing::Message() << name_of(type) << " page " << page_entries << " group " << group);
      expect_close(problem.solve(ops_), problem.solve(reference_), 5e-6F);
    }
  }
}

// Scores far apart: whole segments count for nothing beside another, whichever comes first.
TEST_P(CpuOpsTest, AttentionMatchesWhereSegmentsDifferMuch) {
  const AttentionProblem problem(random_, {.heads = 4, .kv_heads = 2, .head_dim = 32},
                                 {random_rows(random_, 20, 900), {{bounds_of(0, 1500), bounds_of(100, 700)}}}, 60);
  expect_close(problem.solve(ops_), problem.solve(reference_), 5e-4F);
}

TEST_P(CpuOpsTest, MostLikelyMatches) {
  for (const std::int64_t vocabulary : {1, 2, 31, 32, 33, 1000, 151936}) {
    expect_same_choice(ops_, reference_, random_, vocabulary);
  }
}

TEST_P(CpuOpsTest, DrawMatches) {
  for (const std::int64_t vocabulary : {1, 2, 255, 256, 257, 5000, 40'000}) {
    expect_same_draws(ops_, reference_, random_, hard_logits(random_, vocabulary));
  }
}

TEST_P(CpuOpsTest, PagesAreCopied) {
  std::vector<float> start = random_.normals(12 * 16);
  const auto solve = [&](Ops& ops) {
    std::vector<float> pool = start;
    const PageCopy copies[] = {{0, 3}, {3, 1}, {4, 0}};
    // Two pages' parts, 5 of each, with something behind each 5.
    ops.copy_pages({reinterpret_cast<std::byte*>(pool.data()), 64, copies, 2, 6 * 64});
    return pool;
  };
  expect_same_bits(solve(ops_), solve(reference_));
}

TEST_P(CpuOpsTest, NoRowsIsNoWork) {
  ops_.linear({.x = nullptr, .x_stride = 0, .rows = 0, .parts = {}});
  ops_.gate_up({});
  ops_.rms_norm({nullptr, nullptr, nullptr, 0, 8, 1});
  ops_.copy_pages({nullptr, 64, {}});
  ops_.attention({.heads = 2, .kv = {.page_entries = 1, .kv_heads = 1, .head_dim = 8}, .runs = {}});
}

}  // namespace
}  // namespace precis
