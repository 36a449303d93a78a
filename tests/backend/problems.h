// Random inputs for the operations, and the comparison of two backends on them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "device/ops.h"
#include "tensor/dtype.h"

namespace precis {

// Fresh at each run; PRECIS_TEST_SEED repeats one that failed.
inline std::uint64_t fresh_seed() {
  const char* given = std::getenv("PRECIS_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  float normal() { return normal_(engine_); }
  // In [low, high].
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(engine_);
  }
  std::vector<float> normals(std::int64_t count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) value = normal();
    return values;
  }
  template <typename T>
  void shuffle(std::vector<T>& values) {
    std::shuffle(values.begin(), values.end(), engine_);
  }

 private:
  std::mt19937_64 engine_;
  std::normal_distribution<float> normal_;
};

// Writes `value` as `type` at `to`.
inline void put(std::byte* to, DType type, float value) {
  if (type == DType::f32) {
    std::memcpy(to, &value, sizeof value);
  } else if (type == DType::f8_e4m3) {
    *to = static_cast<std::byte>(to_f8(value).bits);
  } else {
    const std::uint16_t bits = type == DType::bf16 ? to_bf16(value).bits : to_f16(value).bits;
    std::memcpy(to, &bits, sizeof bits);
  }
}

// What K or V of `type` at `from` is.
inline float stored(const std::byte* from, DType type) {
  if (type == DType::f32) return *reinterpret_cast<const float*>(from);
  if (type == DType::f8_e4m3) return to_float(*reinterpret_cast<const F8*>(from));
  return to_float(*reinterpret_cast<const Bf16*>(from));
}

// By how much two that were rounded from almost the same number may differ, of the larger.
inline float rounding(DType type) {
  return type == DType::f8_e4m3 ? 0x1p-3F : 0x1p-7F;
}

// A matrix of exactly the bytes that it needs, so that AddressSanitizer sees a read past its end.
struct Matrix {
  Matrix(Random& random, WeightFormat format, std::int64_t outputs, std::int64_t inputs)
      : bytes(static_cast<std::size_t>(outputs * value_row_bytes(format, inputs))),
        scales(static_cast<std::size_t>(outputs * scale_row_bytes(format, inputs)) / sizeof(F16)),
        view{bytes.data(), scales.data(), format, outputs, inputs} {
    for (std::int64_t output = 0; output < outputs; ++output) {
      std::byte* values = bytes.data() + output * value_row_bytes(format, inputs);
      const std::vector<float> row = random.normals(inputs);
      if (is_quantized(format)) {
        quantize_row(format, row, values, scales.data() + output * scale_row_bytes(format, inputs) / 2);
        continue;
      }
      const DType type = format == WeightFormat::f32   ? DType::f32
                         : format == WeightFormat::f16 ? DType::f16
                                                       : DType::bf16;
      for (std::int64_t i = 0; i < inputs; ++i) {
        put(values + i * size_of(type), type, row[static_cast<std::size_t>(i)]);
      }
    }
  }

  std::vector<std::byte> bytes;
  std::vector<F16> scales;
  WeightView view;
};

// Rows of logits whose largest is not easily told: twice there, on an edge, a zero of either sign, infinite, among what
// is no number; all the same; none at all.
inline std::vector<std::vector<float>> hard_logits(Random& random, std::int64_t vocabulary) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  constexpr float none = std::numeric_limits<float>::quiet_NaN();
  const auto anywhere = [&] { return static_cast<std::size_t>(random.between(0, vocabulary - 1)); };
  std::vector<std::vector<float>> rows(9, random.normals(vocabulary));
  for (const std::size_t at : {anywhere(), anywhere()}) rows[1][at] = 9;
  rows[2].front() = rows[2].back() = 9;
  rows[3].back() = 9;
  for (float& logit : rows[4]) logit = random.between(0, 1) == 0 ? 0.0F : -0.0F;
  for (const std::size_t at : {anywhere(), anywhere()}) rows[5][at] = none;
  rows[6][anywhere()] = infinity;
  rows[7].assign(rows[7].size(), -infinity);
  rows[7].front() = none;
  rows[8].assign(rows[8].size(), none);
  return rows;
}

// Shape of an attention problem's cache and heads.
struct HeadShape {
  std::int64_t heads = 4;
  std::int64_t kv_heads = 2;
  std::int64_t head_dim = 64;
  std::int64_t page_entries = 16;
  DType type = DType::bf16;
};

// A pool of pages with two layers in each, of which the second is used; all of it NaN until written. The last
// `far_pages` lie in far memory.
struct KvPool {
  KvPool(const HeadShape& shape, std::int64_t pages, std::int64_t far_pages = 0) {
    const std::int64_t side = shape.kv_heads * shape.page_entries * shape.head_dim * size_of(shape.type);
    bytes.assign(static_cast<std::size_t>(std::max<std::int64_t>((pages - far_pages) * 4 * side, 1)), std::byte{0xff});
    view = {bytes.data(), 4 * side, 2 * side, side, shape.page_entries, shape.kv_heads, shape.head_dim, shape.type};
    if (far_pages == 0) return;
    far.assign(static_cast<std::size_t>(far_pages * 4 * side), std::byte{0xff});
    view.near_pages = pages - far_pages;
    view.far_base = far.data();
  }

  std::vector<std::byte> bytes;
  std::vector<std::byte> far;
  KvView view;
};

// Several sequences' rows with their visible sets. Only what some row sees is written, everything else in the pool is
// NaN, and pages that no row sees have an id far outside the pool.
class AttentionProblem {
 public:
  // `far`: the share of pages that are far.
  AttentionProblem(Random& random, const HeadShape& shape, std::vector<std::vector<RowBounds>> sequences,
                   float score_scale = 1, double far = 0)
      : shape_(shape),
        pool_(shape, pages_of(shape, sequences),
              static_cast<std::int64_t>(far * static_cast<double>(pages_of(shape, sequences)))) {
    std::vector<std::int32_t> free_pages;
    for (std::int64_t page = 0; page < pages_of(shape, sequences); ++page) {
      free_pages.push_back(static_cast<std::int32_t>(page));
    }
    random.shuffle(free_pages);
    tables_.reserve(2 * sequences.size());
    for (const std::vector<RowBounds>& rows : sequences) {
      RowRun run;
      run.first_row = static_cast<std::int32_t>(bounds_.size());
      run.rows = static_cast<std::int32_t>(rows.size());
      run.text = fill(random, rows, &RowBounds::text, free_pages);
      run.summary = fill(random, rows, &RowBounds::summary, free_pages);
      runs_.push_back(run);
      bounds_.insert(bounds_.end(), rows.begin(), rows.end());
    }
    stride_ = (shape.heads + 2 * shape.kv_heads) * shape.head_dim;
    q_ = random.normals(rows() * stride_);
    scale_ = score_scale / std::sqrt(static_cast<float>(shape.head_dim));
  }

  // Marks a sequence's rows as decoded.
  void mark_decoded(std::size_t sequence) { runs_[sequence].decoded = true; }

  std::int64_t rows() const { return static_cast<std::int64_t>(bounds_.size()); }
  std::int64_t row_width() const { return shape_.heads * shape_.head_dim; }

  // All rows, with every run cut into pieces of at most `piece` rows.
  std::vector<float> solve(Ops& ops, std::int64_t piece = 1 << 20) const {
    std::vector<RowRun> runs;
    for (const RowRun& run : runs_) {
      for (std::int32_t row = 0; row < run.rows; row += static_cast<std::int32_t>(piece)) {
        RowRun part = run;
        part.first_row += row;
        part.rows = std::min(static_cast<std::int32_t>(piece), run.rows - row);
        runs.push_back(part);
      }
    }
    std::vector<float> out(static_cast<std::size_t>(rows() * row_width()), -7);
    ops.attention(arguments(out.data(), runs, q_.data(), bounds_.data()));
    return out;
  }

  // Row by row, each in a call of its own.
  std::vector<float> solve_alone(Ops& ops) const {
    std::vector<float> out(static_cast<std::size_t>(rows() * row_width()), -7);
    for (const RowRun& run : runs_) {
      for (std::int64_t row = run.first_row; row < run.first_row + run.rows; ++row) {
        RowRun one = run;
        one.first_row = 0;
        one.rows = 1;
        ops.attention(arguments(out.data() + row * row_width(), std::span(&one, 1), q_.data() + row * stride_,
                                bounds_.data() + row));
      }
    }
    return out;
  }

 private:
  static std::int64_t pages_of(const HeadShape& shape, const std::vector<std::vector<RowBounds>>& sequences) {
    std::int64_t pages = 1;
    for (const std::vector<RowBounds>& rows : sequences) {
      for (Bounds RowBounds::*track : {&RowBounds::text, &RowBounds::summary}) {
        std::int64_t all = 0;      // as many as there are up to the last one seen
        std::int64_t touched = 0;  // at most, by rows that lie far apart
        for (const RowBounds& row : rows) {
          const std::int64_t size = std::max((row.*track).high - (row.*track).low, 0);
          all = std::max<std::int64_t>(all, (row.*track).high / shape.page_entries + 1);
          touched += size / shape.page_entries + 2;
        }
        pages += std::min(all, touched);
      }
    }
    return pages;
  }

  AttentionArgs arguments(float* out, std::span<const RowRun> runs, const float* q, const RowBounds* bounds) const {
    return {q, stride_, out, shape_.heads, scale_, pool_.view, runs, runs.data(), bounds};
  }

  TrackPages fill(Random& random, const std::vector<RowBounds>& rows, Bounds RowBounds::*track,
                  std::vector<std::int32_t>& free_pages) {
    constexpr std::int32_t nowhere = -(1 << 28);
    std::map<std::int64_t, std::int32_t> pages;
    std::map<std::int64_t, bool> written;
    for (const RowBounds& row : rows) {
      for (std::int64_t entry = (row.*track).low; entry < (row.*track).high; ++entry) {
        if (written[entry]) continue;
        written[entry] = true;
        const std::int64_t page = entry / shape_.page_entries;
        if (!pages.contains(page)) {
          pages[page] = free_pages.back();
          free_pages.pop_back();
        }
        write(random, pages[page], entry % shape_.page_entries);
      }
    }
    std::vector<std::int32_t>& table = tables_.emplace_back();
    if (pages.empty()) return {};
    const std::int64_t first = pages.begin()->first;
    table.assign(static_cast<std::size_t>(pages.rbegin()->first - first + 1), nowhere);
    for (const auto& [page, id] : pages) table[static_cast<std::size_t>(page - first)] = id;
    return {table.data(), static_cast<std::int32_t>(first), static_cast<std::int32_t>(table.size())};
  }

  void write(Random& random, std::int64_t page, std::int64_t entry) {
    const std::int64_t size = size_of(shape_.type);
    for (std::int64_t head = 0; head < shape_.kv_heads; ++head) {
      std::byte* key = pool_.view.key(page, head, entry);
      for (std::int64_t d = 0; d < shape_.head_dim; ++d) {
        put(key + d * size, shape_.type, random.normal());
        put(key + pool_.view.value_offset + d * size, shape_.type, random.normal());
      }
    }
  }

  HeadShape shape_;
  KvPool pool_;
  std::vector<std::vector<std::int32_t>> tables_;
  std::vector<RowRun> runs_;
  std::vector<RowBounds> bounds_;
  std::vector<float> q_;
  std::int64_t stride_ = 0;
  float scale_ = 0;
};

inline Bounds bounds_of(std::int64_t low, std::int64_t high) {
  return {static_cast<std::int32_t>(low), static_cast<std::int32_t>(high)};
}

// Rows of one sequence from text position `start` on, under a random rule: dense, a sliding window, a KSA summary
// layer's text rows or its summary rows, or intervals without any order.
inline std::vector<RowBounds> random_rows(Random& random, std::int64_t rows, std::int64_t start) {
  std::vector<RowBounds> bounds;
  const std::int64_t rule = random.between(0, 4);
  const std::int64_t window = random.between(1, 70);
  const std::int64_t chunk = random.between(1, 9);
  const std::int64_t summaries = random.between(1, 3);
  const std::int64_t chunks_kept = random.between(0, 6);
  for (std::int64_t t = start; t < start + rows; ++t) {
    RowBounds row;
    const std::int64_t c = t / chunk;
    const std::int64_t left = std::max<std::int64_t>(0, c - chunks_kept);
    switch (rule) {
      case 0:
        row.text = bounds_of(0, t + 1);
        break;
      case 1:
        row.text = bounds_of(std::max<std::int64_t>(0, t + 1 - window), t + 1);
        break;
      case 2:
        row.text = bounds_of(left * chunk, t + 1);
        row.summary = bounds_of(0, left * summaries);
        break;
      case 3:  // t counts summary rows here
        row.text = bounds_of(t / summaries * chunk, (t / summaries + 1) * chunk);
        row.summary = bounds_of(t / summaries * summaries, t + 1);
        break;
      default:
        for (Bounds* track : {&row.text, &row.summary}) {
          const std::int64_t low = random.between(0, 200);
          *track = bounds_of(low, low + random.between(0, 1) * random.between(0, 90));
        }
        if (row.text.empty() && row.summary.empty()) row.text = bounds_of(t, t + 1);
        break;
    }
    bounds.push_back(row);
  }
  return bounds;
}

inline void expect_close(const std::vector<float>& actual, const std::vector<float>& expected, float tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    // Written so that a NaN fails too.
    ASSERT_TRUE(std::abs(actual[i] - expected[i]) <= tolerance * (1 + std::abs(expected[i])))
        << "element " << i << ": " << actual[i] << ", expected " << expected[i];
  }
}

inline void expect_same_bits(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(actual[i]), std::bit_cast<std::uint32_t>(expected[i]))
        << "element " << i << ": " << actual[i] << ", expected " << expected[i];
  }
}

inline void expect_same_choice(Ops& ops, Ops& reference, Random& random, std::int64_t vocabulary) {
  SCOPED_TRACE(testing::Message() << "vocabulary " << vocabulary);
  const std::vector<std::vector<float>> rows = hard_logits(random, vocabulary);
  std::vector<float> logits;
  for (const std::vector<float>& row : rows) logits.insert(logits.end(), row.begin(), row.end());
  const auto choose = [&](Ops& by) {
    std::vector<std::int32_t> ids(rows.size(), -1);
    by.most_likely({logits.data(), ids.data(), static_cast<std::int64_t>(rows.size()), vocabulary});
    return ids;
  };
  EXPECT_EQ(choose(ops), choose(reference));
}

// What a row's draw is to have found. `whole`: all that can be, not fewer candidates.
inline void expect_same_draw(const RowDraw& draw, const RowDraw& expected, DrawWants wants, bool whole) {
  if (wants == DrawWants::id) {
    EXPECT_EQ(draw.id, expected.id);
  }
  // Orders of adding up, and exponentials that differ in their last bit.
  if (wants == DrawWants::candidates_and_sum) {
    EXPECT_NEAR(draw.sum, expected.sum, 1e-11 * expected.sum);
  }
  if (wants != DrawWants::candidates && wants != DrawWants::candidates_and_sum) return;
  if (whole) {
    EXPECT_EQ(draw.count, expected.count);
  }
  ASSERT_LE(draw.count, expected.count);
  if (draw.holds_all != 0) {
    EXPECT_EQ(draw.count, expected.count);
    EXPECT_EQ(expected.holds_all, 1);
  }
  for (std::int32_t i = 0; i < draw.count; ++i) {
    ASSERT_EQ(draw.candidates[i].id, expected.candidates[i].id) << "candidate " << i;
    ASSERT_EQ(draw.candidates[i].logit, expected.candidates[i].logit) << "candidate " << i;
  }
}

// Draws of all kinds from each of the rows. `least_whole`: a vocabulary of so many ids has all candidates found.
inline void expect_same_draws(Ops& ops, Ops& reference, Random& random, const std::vector<std::vector<float>>& rows,
                              std::int64_t least_whole = 0) {
  const auto vocabulary = static_cast<std::int64_t>(rows.front().size());
  SCOPED_TRACE(testing::Message() << "vocabulary " << vocabulary);
  std::vector<float> logits;
  std::vector<DrawOptions> options;
  for (const std::vector<float>& row : rows) {
    for (const DrawWants wants :
         {DrawWants::candidates, DrawWants::nothing, DrawWants::candidates_and_sum, DrawWants::id, DrawWants::id}) {
      logits.insert(logits.end(), row.begin(), row.end());
      DrawOptions& wanted = options.emplace_back();
      wanted.wants = wants;
      wanted.temperature = static_cast<float>(random.between(1, 30)) / 10;
      if (wants == DrawWants::id && random.between(0, 1) == 0) wanted.least = -2;
      wanted.uniform = static_cast<double>(random.between(0, (1 << 30) - 1)) / (1 << 30);
    }
  }
  const auto count = static_cast<std::int64_t>(options.size());
  std::vector<RowDraw> draws(options.size());
  std::vector<std::int32_t> ids(options.size(), -1);
  ops.draw({logits.data(), options.data(), ids.data(), draws.data(), count, vocabulary});
  std::vector<RowDraw> expected(options.size());
  std::vector<std::int32_t> expected_ids(options.size(), -1);
  reference.draw({logits.data(), options.data(), expected_ids.data(), expected.data(), count, vocabulary});
  EXPECT_EQ(ids, expected_ids);
  for (std::size_t row = 0; row < options.size(); ++row) {
    SCOPED_TRACE(testing::Message() << "row " << row);
    expect_same_draw(draws[row], expected[row], options[row].wants, vocabulary >= least_whole);
  }
}

}  // namespace precis
