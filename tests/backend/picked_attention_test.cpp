// Attention of rows that have picked, against its definition.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "select_problem.h"

namespace precis {
namespace {

// How attention gets to what was picked.
enum class Way : std::uint8_t { copied, with_own_queries, in_place };

// A run of rows that pick: SelectProblem::add, and the text that its first row sees, up to `local`; of every later row
// one more.
struct PickingRows {
  std::int64_t rows;
  std::int64_t initial;
  std::int64_t top;
  std::int64_t middle;
  std::int64_t tail;
  std::int64_t text;
};

// Rows that have picked, with their picked entries in the place of the summary track.
class AttendProblem : public SelectProblem {
 public:
  AttendProblem(Ops& ops, Random& random, DType type, std::int64_t page_entries, std::int64_t head_size,
                std::span<const PickingRows> picking, bool apart = false)
      : SelectProblem(random, type, page_entries, 4, head_size), ops_(ops) {
    for (const PickingRows& of : picking) add(of.rows, of.initial, of.top, of.middle, of.tail);
    fill(apart);
    ops.select({q.data(), kv(), 0, runs, runs.data(), list.data()});
    ops.pick({kv(), this->picked(), runs, runs.data(), list.data(), KeyTurn::none, {}, nullptr});
    queries = random.normals(rows() * width());
    picked_q = random.normals(rows() * width());
    pages_.resize(list.size());
    std::iota(pages_.begin(), pages_.end(), 0);
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const PickRun& pick = runs[i];
      const auto text = static_cast<std::int32_t>(picking[i].text);
      for (std::int32_t row = 0; row < pick.rows; ++row) {
        bounds.push_back({{pick.local - 40 - text, pick.local - 40 + row}, {0, pick.count()}});
      }
    }
  }

  std::int64_t width() const { return heads * head_dim; }
  float scale() const { return 0.3F * std::sqrt(16.0F / static_cast<float>(head_dim)); }

  // Of runs [first, first + count) alone.
  std::vector<float> attend(Way way, std::size_t first, std::size_t count) const {
    std::vector<PickRun> picks(runs.begin() + static_cast<std::ptrdiff_t>(first),
                               runs.begin() + static_cast<std::ptrdiff_t>(first + count));
    const std::int32_t first_row = picks.front().first_row;
    std::vector<RowRun> row_runs;
    std::int64_t all = 0;
    for (PickRun& pick : picks) {
      pick.first_row -= first_row;
      RowRun& run = row_runs.emplace_back();
      run.first_row = pick.first_row;
      run.rows = pick.rows;
      run.text = pick.track;
      run.summary = {pages_.data() + pick.first_page, 0,
                     static_cast<std::int32_t>((pick.count() + kv().page_entries - 1) / kv().page_entries)};
      run.picked = true;
      all += pick.rows;
    }
    // In place: directly behind the choice, which a GPU need not wait for to begin.
    std::vector<std::int32_t> chosen = list;
    if (way == Way::in_place) {
      ops_.select({q.data() + first_row * kv().short_dim, kv(), 0, picks, picks.data(), chosen.data()});
    }
    std::vector<float> out(static_cast<std::size_t>(all * width()));
    ops_.attention({.q = queries.data() + first_row * width(),
                    .q_stride = width(),
                    .out = out.data(),
                    .heads = heads,
                    .scale = scale(),
                    .kv = kv(),
                    .runs = row_runs,
                    .device_runs = row_runs.data(),
                    .bounds = bounds.data() + first_row,
                    .picked = this->picked(),
                    .picked_q = way == Way::with_own_queries ? picked_q.data() + first_row * width() : nullptr,
                    .picks = picks,
                    .device_picks = picks.data(),
                    .picked_list = way == Way::in_place ? chosen.data() : nullptr});
    return out;
  }

  static constexpr std::int64_t heads = 4;
  std::vector<float> queries;
  std::vector<float> picked_q;
  std::vector<RowBounds> bounds;

 private:
  Ops& ops_;
  std::vector<std::int32_t> pages_;
};

// Against the same entries in one pool, by the definition.
void expect_attended(const AttendProblem& problem, Way way, double tolerance) {
  const std::vector<float> out = problem.attend(way, 0, problem.runs.size());
  const std::int64_t head_dim = problem.head_dim;
  const std::int64_t width = problem.width();
  const bool own = way == Way::with_own_queries;
  const DType type = problem.kv().type;
  const std::int64_t size = size_of(type);
  for (const PickRun& pick : problem.runs) {
    for (std::int64_t row = pick.first_row; row < pick.first_row + pick.rows; ++row) {
      for (std::int64_t head = 0; head < AttendProblem::heads; ++head) {
        std::vector<double> sums(static_cast<std::size_t>(head_dim));
        double total = 0;
        const auto attend = [&](const std::vector<float>& by, std::int32_t entry) {
          const std::byte* key = problem.entry_of(pick, entry, head / 2);
          double score = 0;
          for (std::int64_t d = 0; d < head_dim; ++d) {
            score += by[static_cast<std::size_t>(row * width + head * head_dim + d)] * stored(key + d * size, type);
          }
          const double weight = std::exp(score * problem.scale());
          total += weight;
          for (std::int64_t d = 0; d < head_dim; ++d) {
            sums[static_cast<std::size_t>(d)] += weight * stored(key + problem.kv().value_offset + d * size, type);
          }
        };
        for (const std::int32_t entry : problem.listed(pick)) attend(own ? problem.picked_q : problem.queries, entry);
        const Bounds text = problem.bounds[static_cast<std::size_t>(row)].text;
        for (std::int32_t entry = text.low; entry < text.high; ++entry) attend(problem.queries, entry);
        for (std::size_t d = 0; d < sums.size(); ++d) {
          ASSERT_NEAR(out[static_cast<std::size_t>((row * width) + head * head_dim) + d], sums[d] / total, tolerance)
              << "row " << row << " head " << head << " dimension " << d;
        }
      }
    }
  }
}

class PickedAttentionTest : public SelectTest {
 protected:
  // In every way that the backend has.
  void expect_rows(DType type, std::int64_t page_entries, std::int64_t head_dim, std::span<const PickingRows> picking,
                   double tolerance) {
    for (const bool apart : {false, true}) {
      if (apart && GetParam().name == "cuda") continue;  // pools of GPUs are not so
      const AttendProblem problem(*ops_, random_, type, page_entries, head_dim, picking, apart);
      for (const Way way : {Way::copied, Way::with_own_queries, Way::in_place}) {
        if (way == Way::in_place && !ops_->attends_in_place()) continue;
        SCOPED_TRACE(testing::Message() << "way " << static_cast<int>(way) << " head_dim " << head_dim << " apart "
                                        << apart);
        expect_attended(problem, way, tolerance);
      }
    }
  }

  // Tiles of tensor cores take queries and weights as bf16.
  static double tile_tolerance(std::int64_t head_dim) {
    return GetParam().name == "cuda" && head_dim > 16 ? 0.03 : 4e-5;
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, PickedAttentionTest, testing::ValuesIn(select_backends()),
                         [](const auto& info) { return info.param.name; });

// A test for each type of entries and size of heads, as a sanitizer takes minutes for each.
constexpr PickingRows mixed[] = {{1, 3, 300, 500, 0, 0}, {20, 3, 30, 100, 0, 0}, {1, 0, 7, 80, 2, 20}};

TEST_P(PickedAttentionTest, RowsOfFloatsAttendToWhatWasPicked) {
  for (const std::int64_t head_dim : {16, 80, 128, 256}) expect_rows(DType::f32, 6, head_dim, mixed, 4e-5);
}

TEST_P(PickedAttentionTest, RowsOfHalvesAttendToWhatWasPicked) {
  for (const std::int64_t head_dim : {16, 80}) expect_rows(DType::bf16, 6, head_dim, mixed, tile_tolerance(head_dim));
}

TEST_P(PickedAttentionTest, WideRowsOfHalvesAttendToWhatWasPicked) {
  for (const std::int64_t head_dim : {128, 256}) expect_rows(DType::bf16, 6, head_dim, mixed, tile_tolerance(head_dim));
}

TEST_P(PickedAttentionTest, RowsOfBytesAttendToWhatWasPicked) {
  for (const std::int64_t head_dim : {16, 80})
    expect_rows(DType::f8_e4m3, 6, head_dim, mixed, tile_tolerance(head_dim));
}

TEST_P(PickedAttentionTest, WideRowsOfBytesAttendToWhatWasPicked) {
  for (const std::int64_t head_dim : {128, 256}) {
    expect_rows(DType::f8_e4m3, 6, head_dim, mixed, tile_tolerance(head_dim));
  }
}

// Rows of a step that only decodes: parts of their entries that are known before they choose, and that are not, of
// numbers about those that a warp takes at once, and as many as by default.
constexpr PickingRows decoding[] = {{1, 0, 1, 50, 0, 0},     {1, 16, 16, 60, 0, 1},     {1, 15, 17, 90, 3, 33},
                                    {1, 1, 496, 600, 0, 31}, {1, 33, 497, 700, 17, 64}, {1, 128, 2048, 4300, 0, 4096}};

TEST_P(PickedAttentionTest, DecodedRowsOfHalvesAttendToWhatWasPicked) {
  expect_rows(DType::bf16, 16, 64, decoding, 4e-5);
}

TEST_P(PickedAttentionTest, WideDecodedRowsOfHalvesAttendToWhatWasPicked) {
  expect_rows(DType::bf16, 5, 128, decoding, 4e-5);
}

TEST_P(PickedAttentionTest, DecodedRowsOfBytesAttendToWhatWasPicked) {
  expect_rows(DType::f8_e4m3, 16, 64, decoding, 4e-5);
}

TEST_P(PickedAttentionTest, WideDecodedRowsOfBytesAttendToWhatWasPicked) {
  expect_rows(DType::f8_e4m3, 5, 128, decoding, 4e-5);
}

TEST_P(PickedAttentionTest, PickedRowsHaveTheSameBitsAloneAndInPlace) {
  for (const DType type : {DType::bf16, DType::f8_e4m3}) {
    const AttendProblem problem(*ops_, random_, type, 16, 128, decoding);
    const std::vector<float> all = problem.attend(Way::copied, 0, problem.runs.size());
    if (ops_->attends_in_place()) {
      EXPECT_EQ(problem.attend(Way::in_place, 0, problem.runs.size()), all);
    }
    for (std::size_t run = 0; run < problem.runs.size(); ++run) {
      const std::vector<float> alone = problem.attend(Way::copied, run, 1);
      const float* beside = all.data() + problem.runs[run].first_row * problem.width();
      EXPECT_EQ(alone, std::vector<float>(beside, beside + problem.width())) << "run " << run;
    }
  }
}

}  // namespace
}  // namespace precis
