// The cuda backend in deterministic mode: a row's bits in any batch and any cut, few rows or many. Skipped without a
// GPU.
#include <numeric>
#include <ostream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "backend/reference/reference_ops.h"
#include "gpu.h"

namespace precis {
namespace {

constexpr WeightFormat all_formats[] = {WeightFormat::f32, WeightFormat::f16, WeightFormat::bf16, WeightFormat::q8,
                                        WeightFormat::q6,  WeightFormat::q5,  WeightFormat::q4};
constexpr DType all_types[] = {DType::bf16, DType::f8_e4m3, DType::f32};

std::vector<float> some_rows(const std::vector<float>& all, std::int64_t width, std::int64_t first,
                             std::int64_t count) {
  return {all.begin() + first * width, all.begin() + (first + count) * width};
}

class CudaDeterministicTest : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    static const std::unique_ptr<Device> rounding = open_backend("cuda", {.deterministic = true});
    static const std::unique_ptr<Device> exact =
        open_backend("cuda", {.exact_activations = true, .deterministic = true});
    EXPECT_TRUE(rounding->goes_by_decoded());
    EXPECT_FALSE(device_->goes_by_decoded());
    alike_ops_ = std::make_unique<MirrorOps>(*rounding);
    exact_alike_ops_ = std::make_unique<MirrorOps>(*exact);
  }

  // Calls each(first row, rows): all small numbers and those about the edges of tiles, rows from either end, some of
  // many, others by chance, and single rows. A sanitizer takes a second for each.
  template <typename Each>
  void for_batches(std::int64_t rows, const Each& each) {
    std::vector<std::int64_t> counts = {15, 16, 17, 24, 31,  32,  33,  47,  48, 49,
                                        63, 64, 65, 66, 127, 128, 129, 255, 299};
    for (std::int64_t count = 1; count <= 9; ++count) counts.push_back(count);
    for (int i = 0; i < 8; ++i) counts.push_back(random_.between(1, 70));
    for (const std::int64_t count : counts) {
      if (count <= rows) each(random_.between(0, 1) * (rows - count), count);
    }
    for (int i = 0; i < 8; ++i) each(random_.between(0, rows - 1), 1);
  }

  // Two matrices side by side, one with a bias, normed rows or plain ones.
  void expect_same_products(Ops& ops, WeightFormat format, WeightFormat second_format, std::int64_t inputs,
                            std::int64_t rows) {
    const Matrix first(random_, format, random_.between(1, 70), inputs);
    const Matrix second(random_, second_format, random_.between(1, 200), inputs);
    const std::vector<float> bias = random_.normals(second.view.outputs);
    const std::vector<float> weights = random_.normals(inputs);
    const InputNorm norm{random_.between(0, 1) == 1 ? weights.data() : nullptr, 1e-5F};
    const std::int64_t stride = inputs + 4 * random_.between(0, 1);
    const std::int64_t width = first.view.outputs + second.view.outputs;
    const std::vector<float> x = random_.normals(rows * stride);
    const std::vector<float> before = random_.normals(rows * width);
    const bool accumulate = random_.between(0, 1) == 1;
    SCOPED_TRACE(testing::Message() << name_of(format) << "+" << name_of(second_format) << " inputs " << inputs
                                    << " outputs " << first.view.outputs << "+" << second.view.outputs << " norm "
                                    << (norm.weight != nullptr) << " accumulate " << accumulate);
    const auto product = [&](std::int64_t from, std::int64_t count) {
      std::vector<float> y = some_rows(before, width, from, count);
      const LinearPart parts[] = {{first.view, nullptr, y.data(), width},
                                  {second.view, bias.data(), y.data() + first.view.outputs, width}};
      ops.linear({x.data() + from * stride, stride, count, parts, accumulate, norm});
      return y;
    };
    const std::vector<float> whole = product(0, rows);
    for_batches(rows, [&](std::int64_t from, std::int64_t count) {
      expect_same_bits(product(from, count), some_rows(whole, width, from, count));
    });
  }

  void expect_same_mlps(Ops& ops, WeightFormat format, WeightFormat down_format, std::int64_t hidden,
                        std::int64_t width) {
    constexpr std::int64_t rows = 150;
    SCOPED_TRACE(testing::Message() << name_of(format) << ", down " << name_of(down_format) << ", " << hidden << " x "
                                    << width);
    const Matrix gate(random_, format, width, hidden);
    const Matrix up(random_, format, width, hidden);
    const Matrix down(random_, down_format, hidden, width);
    const std::vector<float> biases = random_.normals(2 * width + hidden);
    const std::vector<float> norm = random_.normals(hidden);
    const bool plain = random_.between(0, 1) == 1;
    const std::vector<float> x = random_.normals(rows * hidden);
    const auto bias_at = [&](std::int64_t at) { return plain ? nullptr : biases.data() + at; };
    const auto solve = [&](Ops& solver, std::int64_t from, std::int64_t count) {
      std::vector<float> y = some_rows(x, hidden, from, count);
      std::vector<float> gated(static_cast<std::size_t>(count * width));
      solver.mlp({.x = y.data(),
                  .rows = count,
                  .gate = {gate.view, bias_at(0)},
                  .up = {up.view, bias_at(width)},
                  .down = {down.view, bias_at(2 * width)},
                  .norm = {plain ? nullptr : norm.data(), 1e-5F},
                  .gated = gated.data()});
      return y;
    };
    const std::vector<float> whole = solve(ops, 0, rows);
    expect_rows_near(whole, solve(reference_, 0, rows), hidden, 3e-2);
    for_batches(rows, [&](std::int64_t from, std::int64_t count) {
      expect_same_bits(solve(ops, from, count), some_rows(whole, hidden, from, count));
    });
  }

  std::unique_ptr<MirrorOps> alike_ops_;
  std::unique_ptr<MirrorOps> exact_alike_ops_;
  reference::ReferenceOps reference_;
};

// The format of the weights, and inputs. In parts, as a sanitizer takes minutes for each.
class CudaDeterministicProductsTest : public CudaDeterministicTest,
                                      public testing::WithParamInterface<std::tuple<WeightFormat, std::int64_t>> {};

TEST_P(CudaDeterministicProductsTest, GiveEachRowTheSameBitsInAnyBatch) {
  const auto& [format, inputs] = GetParam();
  expect_same_products(*alike_ops_, format, format, inputs, 300);
}

INSTANTIATE_TEST_SUITE_P(Formats, CudaDeterministicProductsTest,
                         testing::Combine(testing::ValuesIn(all_formats),
                                          testing::Values<std::int64_t>(32, 96, 512, 1120, 2560)),
                         [](const auto& info) {
                           return std::string(name_of(std::get<0>(info.param))) + "_" +
                                  std::to_string(std::get<1>(info.param));
                         });

TEST_F(CudaDeterministicTest, ProductsOfRowsOfAnyLengthDoToo) {
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::f16, WeightFormat::f32}) {
    for (const std::int64_t inputs : {1, 4, 8, 10, 24, 257, 1030}) {
      expect_same_products(*alike_ops_, format, format, inputs, 70);
    }
  }
}

TEST_F(CudaDeterministicTest, ProductsOfTwoFormatsDoToo) {
  for (const WeightFormat format : all_formats) {
    for (const WeightFormat second : all_formats) {
      if (second != format) expect_same_products(*alike_ops_, format, second, 256, 70);
    }
  }
}

TEST_F(CudaDeterministicTest, ExactProductsDoToo) {
  for (const WeightFormat format : all_formats) expect_same_products(*exact_alike_ops_, format, format, 512, 150);
}

struct MlpCase {
  WeightFormat format;  // of gate and up
  WeightFormat down;
  std::int64_t hidden;
  std::int64_t width;

  // "q4_bf16_64_320"
  std::string name() const {
    return std::string(name_of(format)) + "_" + std::string(name_of(down)) + "_" + std::to_string(hidden) + "_" +
           std::to_string(width);
  }
  friend void PrintTo(const MlpCase& of, std::ostream* out) { *out << of.name(); }
};

std::vector<MlpCase> mlp_cases() {
  using Formats = std::pair<WeightFormat, WeightFormat>;
  std::vector<MlpCase> cases;
  for (const auto& [format, down] :
       {Formats{WeightFormat::bf16, WeightFormat::bf16}, Formats{WeightFormat::f16, WeightFormat::f16},
        Formats{WeightFormat::f32, WeightFormat::f32}, Formats{WeightFormat::q8, WeightFormat::q8},
        Formats{WeightFormat::q4, WeightFormat::q4}, Formats{WeightFormat::q4, WeightFormat::q5},
        Formats{WeightFormat::q4, WeightFormat::bf16}, Formats{WeightFormat::bf16, WeightFormat::q8}}) {
    for (const std::int64_t hidden : {64, 320}) cases.push_back({format, down, hidden, 5 * hidden});
  }
  // Rows that are no whole chunks, and of which four are not rounded at once.
  cases.push_back({WeightFormat::bf16, WeightFormat::bf16, 20, 42});
  cases.push_back({WeightFormat::bf16, WeightFormat::bf16, 20, 44});
  return cases;
}

class CudaDeterministicMlpsTest : public CudaDeterministicTest, public testing::WithParamInterface<MlpCase> {};

TEST_P(CudaDeterministicMlpsTest, GiveEachRowTheSameBitsInAnyBatch) {
  const MlpCase& of = GetParam();
  expect_same_mlps(*alike_ops_, of.format, of.down, of.hidden, of.width);
}

INSTANTIATE_TEST_SUITE_P(Formats, CudaDeterministicMlpsTest, testing::ValuesIn(mlp_cases()),
                         [](const auto& info) { return info.param.name(); });

TEST_F(CudaDeterministicTest, ProductsMatch) {
  for (const WeightFormat format : all_formats) {
    for (const std::int64_t rows : {1, 3, 64, 65, 200}) {
      SCOPED_TRACE(testing::Message() << name_of(format) << " rows " << rows);
      const Matrix matrix(random_, format, 90, 1120);
      const std::vector<float> x = random_.normals(rows * 1120);
      const std::vector<float> norm = random_.normals(1120);
      const auto solve = [&](Ops& ops) {
        std::vector<float> y(static_cast<std::size_t>(rows * 90));
        const LinearPart part{matrix.view, nullptr, y.data(), 90};
        ops.linear({x.data(), 1120, rows, std::span(&part, 1), false, {norm.data(), 1e-5F}});
        return y;
      };
      const bool rounded = format == WeightFormat::bf16 || format == WeightFormat::f16;
      expect_rows_near(solve(*alike_ops_), solve(reference_), 90, rounded ? 6e-3 : 1e-5);
      expect_rows_near(solve(*exact_alike_ops_), solve(reference_), 90, 1e-5);
    }
  }
}

// A step with text rows and summary rows norms them before the products, others on the way.
TEST_F(CudaDeterministicTest, NormsBeforeProductsAreThoseOnTheWay) {
  constexpr std::int64_t rows = 40;
  for (const WeightFormat format : all_formats) {
    for (const std::int64_t inputs : {160, 2560, 5120}) {
      SCOPED_TRACE(testing::Message() << name_of(format) << " inputs " << inputs);
      const Matrix matrix(random_, format, 50, inputs);
      const std::vector<float> weights = random_.normals(inputs);
      const std::vector<float> x = random_.normals(rows * inputs);
      const auto product = [&](const std::vector<float>& of, const InputNorm& norm) {
        std::vector<float> y(static_cast<std::size_t>(rows * 50));
        const LinearPart part{matrix.view, nullptr, y.data(), 50};
        alike_ops_->linear({of.data(), inputs, rows, std::span(&part, 1), false, norm});
        return y;
      };
      std::vector<float> normed(x.size());
      alike_ops_->rms_norm({x.data(), weights.data(), normed.data(), rows, inputs, 1e-5F});
      expect_same_bits(product(normed, {}), product(x, {weights.data(), 1e-5F}));
    }
  }
}

// The element type of K and V, the heads' size, and how many share one of K and V.
class CudaDeterministicCutsTest : public CudaDeterministicTest,
                                  public testing::WithParamInterface<std::tuple<DType, std::int64_t, std::int64_t>> {};

// Rows of prompts and decoded ones side by side, of runs of all lengths.
TEST_P(CudaDeterministicCutsTest, AttentionGivesEachRowTheSameBits) {
  const auto& [type, head_dim, group] = GetParam();
  const HeadShape shape{.heads = 2 * group,
                        .kv_heads = 2,
                        .head_dim = head_dim,
                        .page_entries = random_.between(0, 1) == 0 ? 16 : 5,
                        .type = type};
  SCOPED_TRACE(testing::Message() << "page " << shape.page_entries);
  AttentionProblem problem(
      random_, shape,
      {random_rows(random_, 160, 0), random_rows(random_, 3, 300), random_rows(random_, 1, random_.between(0, 700)),
       random_rows(random_, 70, 500), random_rows(random_, 1, 900), random_rows(random_, 6, 40)});
  for (const std::size_t decoded : {1, 4, 5}) problem.mark_decoded(decoded);
  const std::vector<float> whole = problem.solve(*alike_ops_);
  expect_rows_near(whole, problem.solve(reference_), head_dim, 0.015);
  for (const std::int64_t piece : {1, 2, 7, 31, 40, 64}) {
    expect_same_bits(problem.solve(*alike_ops_, piece), whole);
  }
  expect_same_bits(problem.solve_alone(*alike_ops_), whole);
}

INSTANTIATE_TEST_SUITE_P(Cuts, CudaDeterministicCutsTest,
                         testing::Combine(testing::ValuesIn(all_types),
                                          testing::Values<std::int64_t>(32, 64, 80, 128, 256),
                                          testing::Values<std::int64_t>(1, 4, 5, 8)),
                         [](const auto& info) {
                           return std::string(name_of(std::get<0>(info.param))) + "_" +
                                  std::to_string(std::get<1>(info.param)) + "_group" +
                                  std::to_string(std::get<2>(info.param));
                         });

// KSA's text and summary rows, of a prompt and of an answer, one summary a chunk and four.
TEST_F(CudaDeterministicTest, ChunksGiveEachRowTheSameBitsInAnyCut) {
  for (const DType type : all_types) {
    for (const std::int64_t summaries : {1, 4}) {
      std::vector<RowBounds> texts;
      std::vector<RowBounds> of_chunks;
      for (std::int64_t t = 450; t < 550; ++t) {
        const std::int64_t left = std::max<std::int64_t>(0, t / 8 - 16);
        texts.push_back({bounds_of(left * 8, t + 1), bounds_of(0, left * summaries)});
      }
      for (std::int64_t row = 30 * summaries; row < 45 * summaries; ++row) {
        const std::int64_t chunk = row / summaries;
        of_chunks.push_back({bounds_of(chunk * 8, (chunk + 1) * 8), bounds_of(chunk * summaries, row + 1)});
      }
      const HeadShape shape{.heads = 8, .kv_heads = 2, .head_dim = 64, .type = type};
      AttentionProblem problem(random_, shape, {texts, of_chunks, of_chunks});
      problem.mark_decoded(2);
      const std::vector<float> whole = problem.solve(*alike_ops_);
      for (const std::int64_t piece : {std::int64_t{1}, summaries, std::int64_t{13}, std::int64_t{64}}) {
        expect_same_bits(problem.solve(*alike_ops_, piece), whole);
      }
      expect_same_bits(problem.solve_alone(*alike_ops_), whole);
    }
  }
}

// A table beyond what is widened at a time, even for one head, decides nothing for the row beside it.
TEST_F(CudaDeterministicTest, LongTablesOfEightBitsChangeNoOtherRow) {
  const HeadShape shape{.heads = 10, .kv_heads = 5, .head_dim = 128, .page_entries = 16, .type = DType::f8_e4m3};
  std::vector<RowBounds> far;
  for (const std::int64_t page : {0, 70000}) {
    far.push_back({bounds_of(page * shape.page_entries, page * shape.page_entries + 40), {}});
  }
  const AttentionProblem problem(random_, shape, {far, random_rows(random_, 20, 100)});
  expect_same_bits(problem.solve_alone(*alike_ops_), problem.solve(*alike_ops_));
}

}  // namespace
}  // namespace precis
