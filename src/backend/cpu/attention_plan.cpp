#include "backend/cpu/attention_plan.h"

#include <algorithm>
#include <atomic>

#include "backend/cpu/share.h"

namespace precis::cpu {
namespace {

// Queries of a KV head (rows times heads of a group) in a tile: so many that what is done once for all of them costs
// little, so few that they and their scores stay in the second-level cache.
constexpr std::int64_t most_queries = 72;
// As many fill the kernels' register tiles. With no more, reading takes about as long as computing.
constexpr std::int64_t few_queries = 12;
// Queries of all KV heads in a unit.
constexpr std::int64_t most_unit_queries = 96;
// Reading an entry takes as long as attending to it with this many queries.
constexpr std::int64_t reading_cost = 4;
// Units for each worker: enough for the last to finish to be no later than the first by much.
constexpr std::int64_t units_a_worker = 8;
// Workers for whom one can merge the stretches of all heads without their waiting for it.
constexpr std::int64_t workers_a_merger = 4;
// Products of elements below which waking the workers costs more than they save.
constexpr std::int64_t products_worth_sharing = 1 << 16;

std::int64_t divided_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

// Where the part `index` of `parts` about equal ones of `count` things begins.
std::int64_t cut(std::int64_t count, std::int64_t index, std::int64_t parts) {
  return count * index / parts;
}

TrackKeys keys_of(const KvView& kv, std::int64_t head) {
  const std::int64_t offset = head * kv.page_entries * kv.head_dim * size_of(kv.type);
  return {.near = kv.base + kv.layer_offset + offset,
          .page_bytes = kv.page_bytes,
          .near_pages = kv.near_pages,
          .far = kv.far_base == nullptr ? nullptr : kv.far_base + offset,
          .value_offset = kv.value_offset};
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
  return args_->kv.kv_heads * tile.entries * (queries(tile) + reading_cost);
}

std::int64_t AttentionPlan::most_heads(const Tile& tile) const {
  return divided_up(args_->kv.kv_heads, tile.ranges);
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
}

void AttentionPlan::cut_tile(Tile& tile, std::int64_t share, int workers) const {
  const std::int64_t heads = args_->kv.kv_heads;
  if (queries(tile) > few_queries && tile.rows > 1) {
    tile.ranges = heads;
    return;
  }
  tile.ranges = std::min(divided_up(queries(tile) * heads, most_unit_queries), heads);
  if (share == 0) return;
  const std::int64_t wanted = divided_up(cost(tile), share);
  tile.stretches = std::min(divided_up(wanted, tile.ranges), tile.all_segments());
  if (tile.stretches > 1) tile.ranges = std::max(tile.ranges, std::min(heads, workers / workers_a_merger));
  tile.ranges = std::clamp(divided_up(wanted, tile.stretches), tile.ranges, heads);
  // A row alone, which no other's units follow.
  if (tile.stretches == 1 || tile.ranges > 1 || tiles_.size() > 1) return;
  tile.sharers = workers;
  tile.stretches = 0;
  for (std::int64_t left = tile.all_segments(); left > 0; left -= share_of(left, workers)) ++tile.stretches;
}

void AttentionPlan::place_parts() {
  std::int64_t floats = 0;
  counters_.clear();
  for (Tile& tile : tiles_) {
    if (tile.stretches == 1) continue;
    tile.part_floats = kernels_.attention_part(most_heads(tile) * queries(tile), args_->kv.head_dim);
    tile.first_part = floats;
    floats += tile.ranges * tile.all_segments() * tile.part_floats;
    tile.first_counter = static_cast<std::int64_t>(counters_.size());
    counters_.insert(counters_.end(), static_cast<std::size_t>(tile.ranges), static_cast<std::int32_t>(tile.stretches));
  }
  if (parts_.size() < static_cast<std::size_t>(floats)) parts_.resize(static_cast<std::size_t>(floats));
}

void AttentionPlan::list_units() {
  units_.clear();
  // From the end: there a prompt's rows see most, and the last units to be handed out should be short.
  for (std::size_t i = tiles_.size(); i-- > 0;) {
    for (std::int64_t range = 0; range < tiles_[i].ranges; ++range) {
      list_stretches(static_cast<std::int32_t>(i), static_cast<std::int32_t>(range));
    }
  }
}

void AttentionPlan::list_stretches(std::int32_t index, std::int32_t range) {
  const Tile& tile = tiles_[static_cast<std::size_t>(index)];
  const std::int64_t segments = tile.all_segments();
  std::int64_t first = 0;
  for (std::int64_t stretch = 0; stretch < tile.stretches; ++stretch) {
    const std::int64_t last = tile.sharers > 0 ? first + share_of(segments - first, tile.sharers)
                                               : cut(segments, stretch + 1, tile.stretches);
    units_.push_back({index, range, static_cast<std::int32_t>(first), static_cast<std::int32_t>(last)});
    first = last;
  }
}

void AttentionPlan::make(const AttentionArgs& args, Element type, int workers) {
  args_ = &args;
  type_ = type;
  group_ = args.heads / args.kv.kv_heads;
  cut_rows(workers);
  std::int64_t total = 0;
  for (const Tile& tile : tiles_) total += cost(tile);
  worth_sharing_ = workers > 1 && total * args.kv.head_dim >= products_worth_sharing;
  const std::int64_t share = worth_sharing_ ? divided_up(total, units_a_worker * workers) : 0;
  scratch_floats_ = 0;
  for (Tile& tile : tiles_) {
    cut_tile(tile, share, workers);
    scratch_floats_ =
        std::max(scratch_floats_, kernels_.attention_scratch(most_heads(tile) * queries(tile), args.kv.head_dim));
  }
  place_parts();
  list_units();
}

const PickRun* AttentionPlan::picked_in_place(const RowRun& run) const {
  if (!run.picked || args_->picked_list == nullptr) return nullptr;
  return &*std::ranges::find(args_->picks, run.first_row, &PickRun::first_row);
}

AttentionTile AttentionPlan::arguments(const Tile& tile, std::int64_t range, float* scratch) const {
  const AttentionArgs& args = *args_;
  const KvView& kv = args.kv;
  const std::int64_t first_head = cut(kv.kv_heads, range, tile.ranges);
  const std::int64_t first_dimension = first_head * group_ * kv.head_dim;
  const RowBounds& bounds = args.bounds[tile.first_row];
  const PickRun* in_place = picked_in_place(*tile.run);
  const KvView& summary_kv = tile.run->picked && in_place == nullptr ? args.picked : kv;
  const TrackPages& summary = in_place != nullptr ? in_place->track : tile.run->summary;
  const std::int64_t width = args.heads * kv.head_dim;
  const bool own_queries = tile.run->picked && args.picked_q != nullptr;
  const float* q = args.q + tile.first_row * args.q_stride + first_dimension;
  return {.out = args.out + tile.first_row * args.heads * kv.head_dim + first_dimension,
          .out_stride = args.heads * kv.head_dim,
          .rows = tile.rows,
          .heads = cut(kv.kv_heads, range + 1, tile.ranges) - first_head,
          .group = group_,
          .head_dim = kv.head_dim,
          .scale = args.scale,
          .low = {&bounds.summary.low, &bounds.text.low},
          .high = {&bounds.summary.high, &bounds.text.high},
          .bounds_stride = sizeof(RowBounds) / sizeof(std::int32_t),
          .first_segment = {tile.first_segment[0], tile.first_segment[1]},
          .segments = {tile.segments[0], tile.segments[1]},
          .tables = {{summary.pages, summary.first_page}, {tile.run->text.pages, tile.run->text.first_page}},
          .list = in_place != nullptr ? args.picked_list + in_place->first_page * kv.page_entries : nullptr,
          .queries = {own_queries ? args.picked_q + tile.first_row * width + first_dimension : q, q},
          .query_strides = {own_queries ? width : args.q_stride, args.q_stride},
          .keys = {keys_of(summary_kv, first_head), keys_of(kv, first_head)},
          .head_bytes = kv.page_entries * kv.head_dim * size_of(kv.type),
          .page_entries = kv.page_entries,
          .type = type_,
          .scratch = scratch};
}

void AttentionPlan::work(std::int64_t unit, float* scratch) {
  const auto [index, range, first, last] = units_[static_cast<std::size_t>(unit)];
  const Tile& tile = tiles_[static_cast<std::size_t>(index)];
  const AttentionTile one = arguments(tile, range, scratch);
  if (tile.stretches == 1) {
    kernels_.attention(one);
    return;
  }
  const std::int64_t segments = tile.all_segments();
  float* parts = parts_.data() + tile.first_part + range * segments * tile.part_floats;
  kernels_.attention_segments(one, first, last, parts);
  std::atomic_ref<std::int32_t> unfinished(counters_[static_cast<std::size_t>(tile.first_counter + range)]);
  if (unfinished.fetch_sub(1, std::memory_order_acq_rel) == 1) kernels_.attention_merged(one, parts);
}

}  // namespace precis::cpu
