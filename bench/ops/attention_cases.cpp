// Attention as Qwen3-0.6B has it: 16 query heads, 8 KV heads of 128, bf16, 28 layers, pages of 16 entries; each layer's
// K of all pages, then their V, as a pool has them (KvGeometry).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>

#include "bench_case.h"
#include "device/ops.h"

namespace precis::bench {
namespace {

constexpr std::int64_t heads = 16;
constexpr std::int64_t kv_heads = 8;
constexpr std::int64_t head_dim = 128;
constexpr std::int64_t layers = 28;
constexpr std::int64_t page_entries = 16;
constexpr std::int64_t side_bytes = kv_heads * page_entries * head_dim * 2;  // K or V of a layer in a page

// How a sequence's pages lie in the pool: one behind the other, as a new one has them, or as after a while of service.
enum class PagesLie { in_order, shuffled };

// Runs of rows with their bounds over a pool's pages.
class AttentionWork {
 public:
  // A run for each list of bounds.
  AttentionWork(Device& device, const std::vector<std::vector<RowBounds>>& runs, PagesLie lie)
      : ops_(device.ops()), lie_(lie) {
    std::vector<std::int64_t> pages;
    for (const std::vector<RowBounds>& rows : runs) {
      for (const auto track : {&RowBounds::text, &RowBounds::summary}) {
        std::int64_t entries = 0;
        for (const RowBounds& row : rows) entries = std::max<std::int64_t>(entries, (row.*track).high);
        pages.push_back((entries + page_entries - 1) / page_entries);
      }
    }
    fill_pool(device, std::accumulate(pages.begin(), pages.end(), std::int64_t{0}));
    auto table = pages_.begin();
    for (std::size_t i = 0; i < runs.size(); ++i) {
      RowRun run;
      run.first_row = static_cast<std::int32_t>(bounds_.size());
      run.rows = static_cast<std::int32_t>(runs[i].size());
      run.text.pages = &*table;
      table += pages[2 * i];
      run.summary.pages = &*table;
      table += pages[2 * i + 1];
      runs_.push_back(run);
      bounds_.insert(bounds_.end(), runs[i].begin(), runs[i].end());
    }
    q_.resize(bounds_.size() * heads * head_dim);
    std::normal_distribution<float> normal;
    for (float& value : q_) value = normal(random_);
    out_.resize(q_.size());
  }

  // The next layer's attention.
  void call() {
    kv_.layer_offset = layer_ * 2 * kv_.value_offset;
    layer_ = (layer_ + 1) % layers;
    ops_.attention({.q = q_.data(),
                    .q_stride = heads * head_dim,
                    .out = out_.data(),
                    .heads = heads,
                    .scale = 1 / std::sqrt(static_cast<float>(head_dim)),
                    .kv = kv_,
                    .runs = runs_,
                    .bounds = bounds_.data()});
  }

 private:
  void fill_pool(Device& device, std::int64_t pages) {
    const std::int64_t page_bytes = layers * 2 * side_bytes;
    pages = std::max<std::int64_t>(pages, 1);
    pool_ = device.allocate(pages * page_bytes);
    kv_ = {pool_.as<std::byte>(), side_bytes, 0, pages * side_bytes, page_entries, kv_heads, head_dim, DType::bf16};
    auto* values = pool_.as<std::uint16_t>();
    for (std::int64_t i = 0; i < pages * page_bytes / 2; i += 4) {
      const std::uint64_t bits = random_();
      for (int part = 0; part < 4; ++part) {  // +-[0.5, 2)
        const auto some = static_cast<std::uint16_t>(bits >> (16 * part));
        values[i + part] = static_cast<std::uint16_t>((some & 0x80ffU) | 0x3f00U);
      }
    }
    pages_.resize(static_cast<std::size_t>(pages));
    std::iota(pages_.begin(), pages_.end(), 0);
    if (lie_ == PagesLie::shuffled) std::shuffle(pages_.begin(), pages_.end(), random_);
  }

  Ops& ops_;
  PagesLie lie_;
  std::mt19937_64 random_;
  Buffer pool_;
  KvView kv_;
  std::int64_t layer_ = 0;
  std::vector<std::int32_t> pages_;
  std::vector<RowRun> runs_;
  std::vector<RowBounds> bounds_;
  std::vector<float> q_;
  std::vector<float> out_;
};

Bounds bounds_of(std::int64_t low, std::int64_t high) {
  return {static_cast<std::int32_t>(low), static_cast<std::int32_t>(high)};
}

// `rows` rows that follow `depth` entries, each of which sees all before it, or the last `window` of them.
std::vector<RowBounds> text_rows(std::int64_t depth, std::int64_t rows, std::int64_t window = 1 << 30) {
  std::vector<RowBounds> bounds;
  for (std::int64_t t = depth; t < depth + rows; ++t) {
    bounds.push_back({bounds_of(std::max<std::int64_t>(0, t + 1 - window), t + 1), {}});
  }
  return bounds;
}

// Text rows of a KSA summary layer: chunks of 8, one summary each, 128 chunks of text kept.
std::vector<RowBounds> summary_layer_rows(std::int64_t depth, std::int64_t rows) {
  constexpr std::int64_t chunk = 8;
  constexpr std::int64_t kept = 128;
  std::vector<RowBounds> bounds;
  for (std::int64_t t = depth; t < depth + rows; ++t) {
    const std::int64_t left = std::max<std::int64_t>(0, t / chunk - kept);
    bounds.push_back({bounds_of(left * chunk, t + 1), bounds_of(0, left)});
  }
  return bounds;
}

Case case_of(std::string name, std::vector<std::vector<RowBounds>> runs, PagesLie lie = PagesLie::in_order) {
  double seen = 0;
  double held = 0;  // by the last row of each run, which sees most
  for (const std::vector<RowBounds>& rows : runs) {
    for (const RowBounds& row : rows) {
      const double entries = row.text.high - row.text.low + row.summary.high - row.summary.low;
      seen += entries;
      if (&row == &rows.back()) held += entries;
    }
  }
  return {"attention/" + std::move(name), [=](Device& device) {
            const auto work = std::make_shared<AttentionWork>(device, runs, lie);
            return Work{held * kv_heads * head_dim * 4, seen * heads * head_dim * 4, [work] { work->call(); }};
          }};
}

}  // namespace

std::vector<Case> attention_cases() {
  std::vector<Case> cases;
  for (const std::int64_t depth : {0, 64, 512, 1024, 4096, 16384}) {
    cases.push_back(case_of(fmt::format("decode/{}", depth), {text_rows(depth, 1)}));
  }
  cases.push_back(case_of("decode/shuffled/16384", {text_rows(16384, 1)}, PagesLie::shuffled));
  cases.push_back(case_of("decode/8x1024", std::vector<std::vector<RowBounds>>(8, text_rows(1024, 1))));
  cases.push_back(case_of("decode/summary/16384", {summary_layer_rows(16384, 1)}));
  for (const std::int64_t depth : {0, 4096, 16384}) {
    cases.push_back(case_of(fmt::format("prompt512/{}", depth), {text_rows(depth, 512)}));
  }
  cases.push_back(case_of("prompt512/window128/4096", {text_rows(4096, 512, 128)}));
  cases.push_back(case_of("prompt512/summary/16384", {summary_layer_rows(16384, 512)}));
  return cases;
}

}  // namespace precis::bench
