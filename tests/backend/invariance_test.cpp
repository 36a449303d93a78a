// A row's bits do not depend on the rows beside it, on how a step was cut, or on the number of threads.
#include <gtest/gtest.h>

#include <memory>

#include "backend/cpu/cpu_ops.h"
#include "backend/cpu/isa.h"
#include "problems.h"

namespace precis {
namespace {

std::string isa_name(const testing::TestParamInfo<const cpu::Kernels*>& info) {
  return info.param->name;
}

class CpuRowsTest : public testing::TestWithParam<const cpu::Kernels*> {
 protected:
  std::uint64_t seed_ = fresh_seed();
  testing::ScopedTrace trace_{__FILE__, __LINE__, "PRECIS_TEST_SEED=" + std::to_string(seed_)};
  Random random_{seed_};
};

class CpuThreadsTest : public CpuRowsTest {};

INSTANTIATE_TEST_SUITE_P(Isa, CpuRowsTest, testing::ValuesIn(cpu::available_kernels()), isa_name);
INSTANTIATE_TEST_SUITE_P(Isa, CpuThreadsTest, testing::ValuesIn(cpu::available_kernels()), isa_name);

std::vector<float> product(Ops& ops, const WeightView& weight, const std::vector<float>& x, std::int64_t first,
                           std::int64_t rows) {
  std::vector<float> y(static_cast<std::size_t>(rows * weight.outputs));
  const LinearPart part{weight, nullptr, y.data(), weight.outputs};
  ops.linear({x.data() + first * weight.inputs, weight.inputs, rows, std::span(&part, 1), false});
  return y;
}

TEST_P(CpuRowsTest, LinearGivesEachRowTheSameBitsInAnyBatch) {
  constexpr std::int64_t rows = 300;  // beyond a task's rows
  const std::pair<WeightFormat, std::vector<std::int64_t>> cases[] = {
      {WeightFormat::bf16, {10, 40, 256, 1100}}, {WeightFormat::f16, {10, 256}},
      {WeightFormat::f32, {10, 1100}},           {WeightFormat::q8, {32, 96, 512, 1120}},
      {WeightFormat::q6, {64, 192, 1216}},       {WeightFormat::q5, {64, 192, 1216}},
      {WeightFormat::q4, {64, 192, 512, 1216}}};
  for (const bool exact : {false, true}) {
    cpu::CpuOps ops(*GetParam(), 1, exact);
    for (const auto& [format, widths] : cases) {
      for (const std::int64_t inputs : widths) {
        SCOPED_TRACE(testing::Message() << name_of(format) << " inputs " << inputs);
        const Matrix matrix(random_, format, 45, inputs);
        const std::vector<float> x = random_.normals(rows * inputs);
        const std::vector<float> whole = product(ops, matrix.view, x, 0, rows);
        const auto expected = [&](std::int64_t first, std::int64_t count) {
          return std::vector<float>(whole.begin() + first * 45, whole.begin() + (first + count) * 45);
        };
        for (const std::int64_t count : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 64, 97, 128, 129, 299}) {
          expect_same_bits(product(ops, matrix.view, x, 0, count), expected(0, count));
          expect_same_bits(product(ops, matrix.view, x, rows - count, count), expected(rows - count, count));
        }
        for (std::int64_t row = 0; row < rows; ++row) {
          expect_same_bits(product(ops, matrix.view, x, row, 1), expected(row, 1));
        }
      }
    }
  }
}

TEST_P(CpuRowsTest, AttentionGivesEachRowTheSameBitsHoweverCut) {
  cpu::CpuOps ops(*GetParam(), 1);
  for (const DType type : {DType::bf16, DType::f8_e4m3, DType::f32}) {
    for (const std::int64_t group : {1, 2, 3, 8}) {
      for (const std::int64_t page_entries : {5, 16}) {
        const HeadShape shape{.heads = 2 * group,
                              .kv_heads = 2,
                              .head_dim = 8 * random_.between(1, 10),
                              .page_entries = page_entries,
                              .type = type};
        const AttentionProblem problem(random_, shape,
                                       {random_rows(random_, random_.between(60, 100), random_.between(0, 150)),
                                        random_rows(random_, random_.between(1, 9), random_.between(0, 150))});
        const std::vector<float> whole = problem.solve(ops);
        for (const std::int64_t piece : {1, 3, 7, 31, 64}) expect_same_bits(problem.solve(ops, piece), whole);
        expect_same_bits(problem.solve_alone(ops), whole);
      }
    }
  }
}

// Rows that see up to, and from, entries around the edges of pages, blocks and segments.
std::vector<RowBounds> rows_at_edges(std::int64_t window, std::int64_t chunk) {
  std::vector<RowBounds> rows;
  for (const std::int64_t edge : {16, 32, 64, 256, 511, 512, 513, 1024}) {
    for (const std::int64_t t : {edge - 2, edge - 1, edge, edge + 1}) {
      const std::int64_t low = std::max<std::int64_t>(0, t + 1 - window);
      rows.push_back({bounds_of(low, t + 1), bounds_of(0, chunk > 0 ? low / chunk : 0)});
    }
  }
  return rows;
}

// A row decoded alone, whose entries the workers share, and the same row in a prompt.
TEST_P(CpuThreadsTest, AttentionDecodesToThePromptsBits) {
  std::vector<std::unique_ptr<cpu::CpuOps>> all_ops;
  for (const int threads : {1, 2, 3, 7}) all_ops.push_back(std::make_unique<cpu::CpuOps>(*GetParam(), threads));
  for (const DType type : {DType::bf16, DType::f8_e4m3, DType::f32}) {
    for (const std::int64_t page_entries : {1, 5, 16, 32}) {
      for (const std::int64_t group : {1, 2, 3, 4, 5, 6, 7, 8}) {
#ifdef PRECIS_SANITIZED
        if (random_.between(0, 3) != 0) continue;  // they take minutes there; what is not sanitized takes all
#endif
        const std::int64_t head_dims[] = {2 * random_.between(1, 20), 64, 128};
        const HeadShape shape{.heads = 3 * group,
                              .kv_heads = 3,
                              .head_dim = head_dims[random_.between(0, 2)],
                              .page_entries = page_entries,
                              .type = type};
        const std::int64_t window = random_.between(0, 1) == 0 ? 1 << 20 : random_.between(1, 600);
        const AttentionProblem problem(random_, shape, {rows_at_edges(window, random_.between(0, 3))}, 1,
                                       random_.between(0, 1) == 0 ? 0 : 0.5);
        SCOPED_TRACE(testing::Message() << name_of(type) << " page " << page_entries << " group " << group
                                        << " head_dim " << shape.head_dim << " window " << window);
        const std::vector<float> prompt = problem.solve(*all_ops[0]);
        for (const auto& ops : all_ops) {
          expect_same_bits(problem.solve(*ops), prompt);
          expect_same_bits(problem.solve(*ops, 5), prompt);
        }
        // One of them each, as every row makes a call.
        expect_same_bits(problem.solve_alone(*all_ops[static_cast<std::size_t>(random_.between(0, 3))]), prompt);
      }
    }
  }
}

// Many calls that share few segments, for the merge of them to meet every order of their ends.
TEST_P(CpuThreadsTest, AttentionMergesSharedSegmentsOnce) {
  const HeadShape shape{.heads = 8, .kv_heads = 4, .head_dim = 64};
  const AttentionProblem problem(random_, shape,
                                 {{{bounds_of(3, 1400), bounds_of(0, 300)}}, {{bounds_of(0, 700), {}}}});
  cpu::CpuOps one(*GetParam(), 1);
  const std::vector<float> expected = problem.solve(one);
  for (const int threads : {2, 3, 7}) {
    cpu::CpuOps many(*GetParam(), threads);
    for (int round = 0; round < 50; ++round) expect_same_bits(problem.solve(many), expected);
  }
}

TEST_P(CpuThreadsTest, LinearDoesNotDependOnThreads) {
  cpu::CpuOps one(*GetParam(), 1);
  for (const WeightFormat format :
       {WeightFormat::bf16, WeightFormat::q8, WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    const Matrix matrix(random_, format, 333, 640);
    const std::vector<float> x = random_.normals(300 * 640);
    std::vector<std::vector<float>> expected;
    const std::int64_t counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 64, 97, 300};
    for (const std::int64_t rows : counts) expected.push_back(product(one, matrix.view, x, 0, rows));
    for (const int threads : {2, 3, 7}) {
      cpu::CpuOps many(*GetParam(), threads);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        expect_same_bits(product(many, matrix.view, x, 0, counts[i]), expected[i]);
      }
    }
  }
}

TEST_P(CpuThreadsTest, AttentionDoesNotDependOnThreads) {
  const AttentionProblem problem(
      random_, {.heads = 6, .kv_heads = 3, .head_dim = 32},
      {random_rows(random_, 90, 60), random_rows(random_, 1, 100), random_rows(random_, 7, 0)});
  cpu::CpuOps one(*GetParam(), 1);
  const std::vector<float> expected = problem.solve(one);
  for (const int threads : {2, 3, 5}) {
    cpu::CpuOps many(*GetParam(), threads);
    for (int round = 0; round < 3; ++round) expect_same_bits(problem.solve(many), expected);
  }
}

// Wide enough for every operation to be shared between workers.
TEST_P(CpuThreadsTest, RowOperationsDoNotDependOnThreads) {
  constexpr std::int64_t rows = 120;
  const HeadShape shape{.heads = 4, .kv_heads = 2, .head_dim = 64};
  constexpr std::int64_t width = 8 * 64;
  const std::vector<float> qkv = random_.normals(rows * width);
  const std::vector<float> weight = random_.normals(width);
  std::vector<std::int32_t> ids(rows);
  std::vector<std::int64_t> slots(rows);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<std::int32_t>(i % 7);
    slots[i] = static_cast<std::int64_t>(rows - 1 - static_cast<std::int64_t>(i));
  }
  const Matrix table(random_, WeightFormat::bf16, 7, width);
  const auto solve = [&](int threads) {
    cpu::CpuOps ops(*GetParam(), threads);
    std::vector<float> x(static_cast<std::size_t>(rows * width));
    ops.embed({ids.data(), table.view, x.data(), rows});
    ops.rms_norm({x.data(), weight.data(), x.data(), rows, width, 1e-6F});
    std::vector<float> gated(static_cast<std::size_t>(rows * table.view.outputs));
    const LinearWeights both{table.view};
    ops.gate_up(
        {.x = x.data(), .rows = rows, .gate = both, .up = both, .norm = {weight.data(), 1e-6F}, .y = gated.data()});
    std::vector<float> rotation(rows * 64);
    ops.rotation({ids.data(), weight.data(), 1, rotation.data(), rows, 32});
    KvPool pool(shape, rows / 16 + 1);
    std::vector<float> placed = qkv;
    ops.place({.qkv = placed.data(),
               .q_norm = weight.data(),
               .k_norm = weight.data(),
               .epsilon = 1e-6F,
               .rotation = rotation.data(),
               .slots = slots.data(),
               .kv = pool.view,
               .rows = rows,
               .heads = 4});
    std::vector<float> gathered(static_cast<std::size_t>(rows * width));
    ops.gather({placed.data(), ids.data(), gathered.data(), rows, width});
    std::vector<float> all;
    for (const auto* part : {&x, &gated, &rotation, &placed, &gathered})
      all.insert(all.end(), part->begin(), part->end());
    for (const std::byte byte : pool.bytes) all.push_back(static_cast<float>(byte));
    return all;
  };
  const std::vector<float> expected = solve(1);
  for (const int threads : {2, 3, 5}) expect_same_bits(solve(threads), expected);
}

}  // namespace
}  // namespace precis
