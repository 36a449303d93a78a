#include "backend/cpu/attention_plan.h"

#include <algorithm>
#include <atomic>

namespace precis::cpu {
namespace {

// Queries (rows times heads of a group) of a tile: so many that what is done once for all of them costs little, so few
// that they stay in the second-level cache.
constexpr std::int64_t most_queries = 72;
// Queries that fill the kernels' register tiles; a tile of no more may be cut into stretches of segments.
constexpr std::int64_t few_queries = 12;
// Reading an entry takes as long as attending to it with this many queries.
constexpr std::int64_t reading_cost = 4;
// Units for each worker: enough for the last to finish to be no later than the first by much.
constexpr std::int64_t units_a_worker = 8;
// Products of elements below which waking the workers costs more than they save.
constexpr std::int64_t products_worth_sharing = 1 << 16;

std::int64_t divided_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace

AttentionPlan::Tile AttentionPlan::tile_of(const RowRun& run, std::int64_t first_row, std::int64_t rows) const {
  Tile tile;
  tile.run = &run;
  tile.first_row = first_row;
  tile.rows = rows;
  for (const int track : {0, 1}) {
    std::int64_t low = INT64_MAX;
    std::int64_t high = 0;
    for (std::int64_t row = first_row; row < first_row + rows; ++row) {
      const Bounds bounds = track == 0 ? args_->bounds[row].summary : args_->bounds[row].text;
      if (bounds.empty()) continue;
      low = std::min<std::int64_t>(low, bounds.low);
      high = std::max<std::int64_t>(high, bounds.high);
    }
    if (high == 0) continue;
    tile.first_segment[track] = low / attention_segment;
    tile.segments[track] = divided_up(high, attention_segment) - tile.first_segment[track];
    tile.entries += high - low;
  }
  return tile;
}

std::int64_t AttentionPlan::cost(const Tile& tile) const {
  return tile.entries * (queries(tile) + reading_cost);
}

void AttentionPlan::cut_rows(int workers) {
  std::int64_t rows = 0;
  for (const RowRun& run : args_->runs) rows += run.rows;
  // Smaller tiles than the best where there would not be some for every worker.
  const std::int64_t wanted = workers == 1 ? 1 : divided_up(units_a_worker * workers, args_->kv.kv_heads);
  const std::int64_t most = std::clamp<std::int64_t>(most_queries / group_, 1, max_attention_rows);
  const std::int64_t fewest = std::clamp<std::int64_t>(few_queries / group_, 1, most);
  const std::int64_t tile_rows = std::clamp(rows / wanted, fewest, most);
  tiles_.clear();
  for (const RowRun& run : args_->runs) {
    for (std::int64_t row = 0; row < run.rows; row += tile_rows) {
      tiles_.push_back(tile_of(run, run.first_row + row, std::min(tile_rows, run.rows - row)));
    }
  }
  scratch_floats_ = kernels_.attention_scratch(tile_rows, group_, args_->kv.head_dim);
}

void AttentionPlan::cut_segments(int workers) {
  const std::int64_t heads = args_->kv.kv_heads;
  std::int64_t total = 0;
  for (const Tile& tile : tiles_) total += cost(tile) * heads;
  worth_sharing_ = total * args_->kv.head_dim >= products_worth_sharing;
  const std::int64_t share = std::max<std::int64_t>(divided_up(total, units_a_worker * workers), 1);
  std::int64_t parts = 0;
  std::int64_t counters = 0;
  units_.clear();
  // From the end: there a prompt's rows see most, and the last units to be handed out should be short.
  for (std::size_t i = tiles_.size(); i-- > 0;) {
    Tile& tile = tiles_[i];
    const std::int64_t segments = tile.segments[0] + tile.segments[1];
    if (workers > 1 && worth_sharing_ && queries(tile) <= few_queries) {
      tile.stretches = std::clamp<std::int64_t>(divided_up(cost(tile), share), 1, segments);
    }
    if (tile.stretches > 1) {
      tile.first_part = parts;
      tile.first_counter = counters;
      parts += heads * segments * kernels_.attention_part(tile.rows, group_, args_->kv.head_dim);
      counters += heads;
      counters_.resize(std::max(counters_.size(), static_cast<std::size_t>(counters)));
      std::fill(counters_.begin() + tile.first_counter, counters_.begin() + counters,
                static_cast<std::int32_t>(tile.stretches));
    }
    for (std::int64_t head = 0; head < heads; ++head) {
      for (std::int64_t stretch = 0; stretch < tile.stretches; ++stretch) {
        units_.push_back(
            {static_cast<std::int32_t>(i), static_cast<std::int32_t>(head), static_cast<std::int32_t>(stretch)});
      }
    }
  }
  if (parts_.size() < static_cast<std::size_t>(parts)) parts_.resize(static_cast<std::size_t>(parts));
}

void AttentionPlan::make(const AttentionArgs& args, Element type, int workers) {
  args_ = &args;
  type_ = type;
  group_ = args.heads / args.kv.kv_heads;
  cut_rows(workers);
  cut_segments(workers);
}

void AttentionPlan::work(std::int64_t unit, float* scratch) {
  const auto [index, head, stretch] = units_[static_cast<std::size_t>(unit)];
  const Tile& tile = tiles_[static_cast<std::size_t>(index)];
  const AttentionArgs& args = *args_;
  const KvView& kv = args.kv;
  const std::int64_t first_dimension = head * group_ * kv.head_dim;
  const RowBounds& bounds = args.bounds[tile.first_row];
  const AttentionTile one = {
      .q = args.q + tile.first_row * args.q_stride + first_dimension,
      .q_stride = args.q_stride,
      .out = args.out + tile.first_row * args.heads * kv.head_dim + first_dimension,
      .out_stride = args.heads * kv.head_dim,
      .rows = tile.rows,
      .group = group_,
      .head_dim = kv.head_dim,
      .scale = args.scale,
      .low = {&bounds.summary.low, &bounds.text.low},
      .high = {&bounds.summary.high, &bounds.text.high},
      .bounds_stride = sizeof(RowBounds) / sizeof(std::int32_t),
      .first_segment = {tile.first_segment[0], tile.first_segment[1]},
      .segments = {tile.segments[0], tile.segments[1]},
      .tables = {{tile.run->summary.pages, tile.run->summary.first_page},
                 {tile.run->text.pages, tile.run->text.first_page}},
      .keys = kv.key(0, head, 0),
      .page_bytes = kv.page_bytes,
      .value_offset = kv.value_offset,
      .page_entries = kv.page_entries,
      .type = type_,
      .scratch = scratch,
  };
  if (tile.stretches == 1) {
    kernels_.attention(one);
    return;
  }
  const std::int64_t segments = tile.segments[0] + tile.segments[1];
  const std::int64_t floats = segments * kernels_.attention_part(tile.rows, group_, kv.head_dim);
  float* parts = parts_.data() + tile.first_part + head * floats;
  kernels_.attention_segments(one, segments * stretch / tile.stretches, segments * (stretch + 1) / tile.stretches,
                              parts);
  std::atomic_ref<std::int32_t> unfinished(counters_[static_cast<std::size_t>(tile.first_counter + head)]);
  if (unfinished.fetch_sub(1, std::memory_order_acq_rel) == 1) kernels_.attention_merged(one, parts);
}

}  // namespace precis::cpu
