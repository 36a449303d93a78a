// What selective attention asks of a backend, against its definition in device/select_args.h.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "select_problem.h"

namespace precis {
namespace {

INSTANTIATE_TEST_SUITE_P(Backends, SelectTest, testing::ValuesIn(select_backends()),
                         [](const auto& info) { return info.param.name; });

// The definition, in double.
std::vector<std::int32_t> expected_list(const SelectProblem& problem, const PickRun& run, std::int64_t proximity) {
  const std::int64_t dim = problem.kv().short_dim;
  std::vector<double> best(static_cast<std::size_t>(run.middle()), -INFINITY);
  for (std::int64_t row = run.first_row; row < run.first_row + run.rows; ++row) {
    std::vector<double> f;
    for (std::int64_t entry = run.initial; entry < run.local; ++entry) {
      double sum = 0;
      for (std::int64_t d = 0; d < dim; ++d) {
        sum += problem.q[static_cast<std::size_t>(row * dim + d)] * problem.short_number(run, entry, d);
      }
      f.push_back(sum);
    }
    const double largest = *std::max_element(f.begin(), f.end());
    for (std::size_t i = 0; i < f.size(); ++i) best[i] = std::max(best[i], run.rows == 1 ? f[i] : f[i] - largest);
  }
  const auto wide = [&](std::int32_t i) {
    double most = -INFINITY;
    for (std::int64_t j = std::max<std::int64_t>(0, i - proximity); j <= i + proximity && j < run.middle(); ++j) {
      most = std::max(most, best[static_cast<std::size_t>(j)]);
    }
    return most;
  };
  std::vector<double> scores;
  for (std::int32_t i = 0; i < run.middle(); ++i) scores.push_back(wide(i));
  std::vector<std::int32_t> list;
  for (std::int32_t i = 0; i < run.initial; ++i) list.push_back(i);
  std::vector<std::int32_t> best_first(scores.size());
  std::iota(best_first.begin(), best_first.end(), 0);
  std::ranges::stable_sort(best_first, std::greater<>(),
                           [&](std::int32_t i) { return scores[static_cast<std::size_t>(i)]; });
  best_first.resize(static_cast<std::size_t>(run.top));
  std::ranges::sort(best_first);
  for (const std::int32_t i : best_first) list.push_back(run.initial + i);
  for (std::int32_t i = run.local; i < run.end; ++i) list.push_back(i);
  return list;
}

TEST_P(SelectTest, TheBestAreChosenAndTiesGoToTheFirst) {
  for (const DType type : {DType::f32, DType::bf16, DType::f8_e4m3}) {
    for (const std::int64_t dim : {1, 7, 16, 33, 64}) {
      SCOPED_TRACE(testing::Message() << name_of(type) << " dim " << dim);
      SelectProblem problem(random_, type, random_.between(1, 20), dim);
      for (int run = 0; run < 4; ++run) {
        const std::int64_t top = random_.between(1, 90);
        problem.add(run % 2 == 0 ? 1 : random_.between(2, 150), random_.between(0, 20), top,
                    top + random_.between(1, 700), random_.between(0, 9));
      }
      problem.fill();
      const std::int64_t proximity = random_.between(0, 3);
      ops_->select({problem.q.data(), problem.kv(), proximity, problem.runs, problem.runs.data(), problem.list.data()});
      for (const PickRun& run : problem.runs) {
        const auto listed = problem.listed(run);
        EXPECT_EQ(std::vector(listed.begin(), listed.end()), expected_list(problem, run, proximity));
      }
    }
  }
}

// As many as several processors share, about as many as a lane, a warp or all of them take at once; of few different
// numbers, so that far more are equal than are to be chosen, and of many.
TEST_P(SelectTest, ManyAreChosenFrom) {
  for (const std::int64_t dim : {1, 24}) {
    SCOPED_TRACE(testing::Message() << "dim " << dim);
    SelectProblem problem(random_, DType::bf16, 16, dim, 8);
    for (const std::int64_t middle : {127, 129, 4096, 4097, 5000, 32768, 32771, 60000}) {
      problem.add(1, random_.between(0, 20), random_.between(1, middle - 1), middle, random_.between(0, 9));
    }
    problem.add(3, 5, 2048, 20000, 0);
    problem.fill();
    for (const std::int64_t proximity : {0, 1, 2}) {
      ops_->select({problem.q.data(), problem.kv(), proximity, problem.runs, problem.runs.data(), problem.list.data()});
      for (const PickRun& run : problem.runs) {
        const auto listed = problem.listed(run);
        EXPECT_EQ(std::vector(listed.begin(), listed.end()), expected_list(problem, run, proximity))
            << run.middle() << " choices, " << run.top << " chosen, proximity " << proximity;
      }
    }
  }
}

// All are equal; more than a block's shared memory holds.
TEST_P(SelectTest, OfEqualOnesTheFirstAreChosen) {
  SelectProblem problem(random_, DType::bf16, 64, 1, 8);
  problem.add(1, 3, 2048, 50000, 1);
  problem.add(1, 0, 100, 4096, 0);
  if (GetParam().name == "cuda") problem.add(1, 128, 2048, 340000, 64);
  problem.fill();
  std::ranges::fill(problem.q, 0.0F);
  ops_->select({problem.q.data(), problem.kv(), 1, problem.runs, problem.runs.data(), problem.list.data()});
  for (const PickRun& run : problem.runs) {
    const auto listed = problem.listed(run);
    EXPECT_EQ(std::vector(listed.begin(), listed.end()), expected_list(problem, run, 1)) << run.middle() << " choices";
  }
}

// More than blocks' shared memory holds, on a GPU.
TEST_P(SelectTest, VeryManyAreChosenFrom) {
  SelectProblem problem(random_, DType::bf16, 64, 8, 8);
  problem.add(1, 128, 2048, 340000, 64);
  problem.fill();
  ops_->select({problem.q.data(), problem.kv(), 1, problem.runs, problem.runs.data(), problem.list.data()});
  const auto listed = problem.listed(problem.runs.front());
  EXPECT_EQ(std::vector(listed.begin(), listed.end()), expected_list(problem, problem.runs.front(), 1));
}

TEST_P(SelectTest, WhatIsNoNumberIsLeast) {
  SelectProblem problem(random_, DType::f32, 8, 4);
  problem.add(1, 0, 3, 40, 0);
  problem.add(3, 0, 3, 40, 0);
  problem.fill();
  for (const PickRun& run : problem.runs) {
    for (std::int32_t entry = 0; entry < run.local; ++entry) {
      std::byte* key = problem.kv().short_key(run.track.pages[entry / 8], entry % 8);
      const bool is_number = entry == 17 || entry == 20 || entry == 33;
      for (int d = 0; d < 4; ++d) put(key + 4 * d, DType::f32, is_number ? 1.0F : NAN);
    }
  }
  ops_->select({problem.q.data(), problem.kv(), 0, problem.runs, problem.runs.data(), problem.list.data()});
  for (const PickRun& run : problem.runs) {
    const auto listed = problem.listed(run);
    EXPECT_EQ(std::vector(listed.begin(), listed.end()), (std::vector<std::int32_t>{17, 20, 33}));
  }
}

TEST_P(SelectTest, ShortKeysAreKeptAtTheirSlots) {
  for (const DType type : {DType::f32, DType::bf16, DType::f8_e4m3}) {
    SelectProblem problem(random_, type, 5, 13);
    problem.add(1, 0, 1, 30, 0);
    problem.fill();
    const std::vector<float> x = random_.normals(3 * 13);
    const std::vector<std::int64_t> slots = {7, -1, 23};
    const KvView& kv = problem.kv();
    ops_->keep_short({x.data(), slots.data(), kv, 3});
    for (const std::size_t row : {0, 2}) {
      for (std::size_t d = 0; d < 13; ++d) {
        const float value = x[row * 13 + d];
        const std::byte* key = kv.short_key(slots[row] / 5, slots[row] % 5);
        const float kept = stored(key + static_cast<std::int64_t>(d) * size_of(kv.short_type()), kv.short_type());
        EXPECT_EQ(kept, type == DType::f32 ? value : to_float(to_bf16(value)));
      }
    }
  }
}

// Rotations of `positions` positions, in double and as operations take them.
struct Rotations {
  Rotations(std::int64_t positions, std::int64_t half) : floats(static_cast<std::size_t>(positions * 2 * half)) {
    for (std::int64_t i = 0; i < half; ++i) frequencies.push_back(static_cast<float>(std::pow(0.3, i)));
    for (std::int64_t position = 0; position < positions; ++position) {
      float* to = floats.data() + position * 2 * half;
      for (std::int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(position) * frequencies[static_cast<std::size_t>(i)];
        to[i] = static_cast<float>(std::cos(angle));
        to[half + i] = static_cast<float>(std::sin(angle));
      }
    }
  }

  // Element d of x turned by so many positions.
  double turned(const std::vector<double>& x, std::size_t d, std::int64_t by) const {
    const std::size_t half = x.size() / 2;
    const double angle = static_cast<double>(by) * frequencies[d % half];
    return d < half ? x[d] * std::cos(angle) - x[d + half] * std::sin(angle)
                    : x[d] * std::cos(angle) + x[d - half] * std::sin(angle);
  }

  std::vector<float> frequencies;
  std::vector<float> floats;
};

TEST_P(SelectTest, PickedEntriesAreCopiedAndTurned) {
  for (const DType type : {DType::f32, DType::bf16, DType::f8_e4m3}) {
    for (const KeyTurn turn : {KeyTurn::none, KeyTurn::packed, KeyTurn::to_origin}) {
      SCOPED_TRACE(testing::Message() << name_of(type) << " turn " << static_cast<int>(turn));
      SelectProblem problem(random_, type, 7, 4);
      problem.add(1, 5, 60, 300, turn == KeyTurn::packed ? 40 : 0);
      problem.add(9, 0, 3, 30, 0);
      problem.fill();
      const EntryPositions positions{2, 3, 1};
      const Rotations rotations(400, problem.head_dim / 2);
      ops_->select({problem.q.data(), problem.kv(), 0, problem.runs, problem.runs.data(), problem.list.data()});
      ops_->pick({problem.kv(), problem.picked(), problem.runs, problem.runs.data(), problem.list.data(), turn,
                  positions, turn == KeyTurn::none ? nullptr : rotations.floats.data()});
      const std::int64_t size = size_of(type);
      for (const PickRun& run : problem.runs) {
        for (std::int32_t i = 0; i < run.count(); ++i) {
          const std::int32_t entry = problem.listed(run)[static_cast<std::size_t>(i)];
          const std::int32_t to = turn == KeyTurn::none     ? positions(entry)
                                  : turn == KeyTurn::packed ? positions(run.local - run.chosen() + i)
                                                            : 0;
          for (std::int64_t head = 0; head < SelectProblem::kv_heads; ++head) {
            const std::byte* from = problem.entry_of(run, entry, head);
            const std::byte* copy = problem.picked_entry(run, i, head);
            std::vector<double> key;
            for (std::int64_t d = 0; d < problem.head_dim; ++d) {
              key.push_back(stored(from + d * size, type));
              EXPECT_EQ(stored(copy + problem.picked().value_offset + d * size, type),
                        stored(from + problem.kv().value_offset + d * size, type));
            }
            for (std::size_t d = 0; d < key.size(); ++d) {
              const float got = stored(copy + static_cast<std::int64_t>(d) * size, type);
              const double expected = rotations.turned(key, d, to - positions(entry));
              const double step = type == DType::f32 ? 4e-6 : type == DType::bf16 ? 0x1p-8 : 0x1p-4;
              const double least = type == DType::f32 ? 0.3 : type == DType::bf16 ? 0.001 : 0.02;
              ASSERT_NEAR(got, expected, step * (std::abs(expected) + least));
            }
          }
        }
      }
    }
  }
}

TEST_P(SelectTest, QueriesAreTurnedToTheirDistance) {
  SelectProblem problem(random_, DType::f32, 8, 4);
  problem.add(1, 0, 1, 10, 0);
  problem.add(70, 0, 1, 10, 0);
  problem.fill();
  constexpr std::int64_t heads = 3;
  constexpr std::int64_t head_dim = 10;
  constexpr std::int64_t stride = heads * head_dim + 5;
  const Rotations rotations(200, head_dim / 2);
  const std::vector<float> q = random_.normals(problem.rows() * stride);
  std::vector<float> y(static_cast<std::size_t>(problem.rows() * heads * head_dim));
  std::vector<std::int32_t> positions;
  for (std::int64_t row = 0; row < problem.rows(); ++row) {
    positions.push_back(static_cast<std::int32_t>(random_.between(0, 199)));
  }
  ops_->turn({q.data(), stride, y.data(), positions.data(), rotations.floats.data(), heads, head_dim, problem.runs,
              problem.runs.data()});
  for (const PickRun& run : problem.runs) {
    for (std::int64_t row = run.first_row; row < run.first_row + run.rows; ++row) {
      for (std::int64_t head = 0; head < heads; ++head) {
        const float* from = q.data() + row * stride + head * head_dim;
        const std::vector<double> x(from, from + head_dim);
        for (std::size_t d = 0; d < x.size(); ++d) {
          const double expected = rotations.turned(x, d, run.distance - positions[static_cast<std::size_t>(row)]);
          ASSERT_NEAR(y[static_cast<std::size_t>((row * heads + head) * head_dim) + d], expected, 4e-6);
        }
      }
    }
  }
}

// The same bits in one as by three operations.
TEST_P(SelectTest, KeysAndQueriesAreShortened) {
  constexpr std::int64_t dim = 13;
  for (const DType type : {DType::f32, DType::bf16, DType::f8_e4m3}) {
    for (const std::int64_t inputs : {24, 30, 1024}) {
      for (const std::int64_t rows : {0, 1, 2, 3, 4, 5}) {
        const std::int64_t query_rows = random_.between(0, 2) == 0 ? random_.between(0, 5) : rows;
        SCOPED_TRACE(testing::Message() << name_of(type) << " inputs " << inputs << " rows " << rows << " and "
                                        << query_rows);
        SelectProblem problem(random_, type, 5, dim);
        problem.add(1, 0, 1, 30, 0);
        problem.fill();
        const std::vector<float> weights = random_.normals(2 * dim * inputs);
        const auto matrix = [&](std::int64_t index) {
          return WeightView{.data = reinterpret_cast<const std::byte*>(weights.data() + index * dim * inputs),
                            .scales = nullptr,
                            .format = WeightFormat::f32,
                            .outputs = dim,
                            .inputs = inputs};
        };
        const std::vector<float> keys = random_.normals(rows * inputs);
        const std::vector<float> queries = random_.normals(query_rows * inputs);
        const std::vector<std::int64_t> slots = {7, -1, 23, 3, 29};
        std::vector<float> short_keys(static_cast<std::size_t>(rows * dim));
        std::vector<float> short_queries(static_cast<std::size_t>(query_rows * dim));
        std::vector<float> expected = short_queries;
        const ShortenArgs args{.keys = keys.data(),
                               .key_weight = matrix(0),
                               .short_keys = short_keys.data(),
                               .slots = slots.data(),
                               .kv = problem.kv(),
                               .key_rows = rows,
                               .queries = queries.data(),
                               .query_weight = matrix(1),
                               .short_queries = short_queries.data(),
                               .query_rows = query_rows};
        const auto kept = [&] {
          std::vector<float> all;
          for (std::int64_t slot = 0; slot < 30; ++slot) {
            const std::byte* key = problem.kv().short_key(slot / 5, slot % 5);
            const DType kept_as = problem.kv().short_type();
            for (std::int64_t d = 0; d < dim; ++d) all.push_back(stored(key + d * size_of(kept_as), kept_as));
          }
          return all;
        };
        const std::vector<float> before = kept();
        if (rows > 0) {
          const LinearPart part{args.key_weight, nullptr, short_keys.data(), dim};
          ops_->linear({.x = keys.data(), .x_stride = inputs, .rows = rows, .parts = {&part, 1}});
          ops_->keep_short({short_keys.data(), slots.data(), problem.kv(), rows});
        }
        if (query_rows > 0) {
          const LinearPart part{args.query_weight, nullptr, expected.data(), dim};
          ops_->linear({.x = queries.data(), .x_stride = inputs, .rows = query_rows, .parts = {&part, 1}});
        }
        const std::vector<float> by_three = kept();
        EXPECT_EQ(by_three != before, rows > 0);
        const std::vector<float> zeros(static_cast<std::size_t>(rows * dim));
        ops_->keep_short({zeros.data(), slots.data(), problem.kv(), rows});
        ops_->shorten(args);
        EXPECT_EQ(kept(), by_three);
        EXPECT_EQ(short_queries, expected);
      }
    }
  }
}

TEST_P(SelectTest, PlaceGivesWhatIsChosenBy) {
  constexpr std::int64_t heads = 6;
  constexpr std::int64_t kv_heads = 2;
  constexpr std::int64_t head_dim = 24;
  constexpr std::int64_t rows = 5;
  constexpr std::int64_t width = (heads + 2 * kv_heads) * head_dim;
  constexpr std::int64_t length = kv_heads * head_dim;
  HeadShape shape{.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .page_entries = 8, .type = DType::f32};
  KvPool pool(shape, 1);
  const std::vector<float> qkv = random_.normals(rows * width);
  const std::vector<float> own = random_.normals(rows * width);
  const std::vector<float> q_norm = random_.normals(head_dim);
  const std::vector<float> k_norm = random_.normals(head_dim);
  const std::vector<std::int64_t> slots(rows, -1);
  // Not rotated, what is left in qkv is what was before; so is what the rotation by any angle comes from.
  std::vector<float> still(rows * head_dim);
  for (std::int64_t row = 0; row < rows; ++row) {
    std::fill_n(still.begin() + row * head_dim, head_dim / 2, 1.0F);
  }
  const std::vector<float> rotation = random_.normals(rows * head_dim);
  const auto place = [&](const std::vector<float>& turns, std::vector<float>& x, float* sums, float* keys) {
    ops_->place({.qkv = x.data(),
                 .own = own.data(),
                 .first_summary = 3,
                 .mix = 0.7F,
                 .q_norm = q_norm.data(),
                 .k_norm = k_norm.data(),
                 .epsilon = 1e-6F,
                 .rotation = turns.data(),
                 .slots = slots.data(),
                 .kv = pool.view,
                 .rows = rows,
                 .heads = heads,
                 .query_sums = sums,
                 .plain_keys = keys});
  };
  std::vector<float> plain = qkv;
  place(still, plain, nullptr, nullptr);
  std::vector<float> turned = qkv;
  std::vector<float> sums(rows * length);
  std::vector<float> keys(rows * length);
  place(rotation, turned, sums.data(), keys.data());
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < length; ++i) {
      const float* x = plain.data() + row * width;
      const std::int64_t group = heads / kv_heads;
      double sum = 0;
      for (std::int64_t head = i / head_dim * group; head < (i / head_dim + 1) * group; ++head) {
        sum += x[head * head_dim + i % head_dim];
      }
      EXPECT_NEAR(sums[static_cast<std::size_t>(row * length + i)], sum, 2e-6 * (1 + std::abs(sum)));
      EXPECT_EQ(keys[static_cast<std::size_t>(row * length + i)], x[heads * head_dim + i]);
    }
  }
}

}  // namespace
}  // namespace precis
