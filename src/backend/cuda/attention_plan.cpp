#include "backend/cuda/attention_plan.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "backend/cuda/check.h"
#include "base/checked.h"

namespace precis::cuda {
namespace {

// Queries (rows times heads of a group) that a run has at least for tiles to be worth while.
constexpr std::int64_t few_queries = 16;
// The same where K and V have to be widened first, which costs about what 5 rows of a split run read.
constexpr std::int64_t few_widened_queries = tile_queries;
// Rows that such a run has at least: more than one of a recorded step may have.
constexpr std::int64_t few_widened_rows = 8;
// Of K and V that are widened at a time. engine/scratch_plan.cpp counts on it.
constexpr std::int64_t most_widened_bytes = std::int64_t{512} << 20;
// Of the partial results of a launch.
constexpr std::int64_t most_partial_floats = 32 << 20;
constexpr std::int32_t most_piece_rows = 64;
// Blocks wanted for each processor: as many as it runs at once, so that all end at about the same time. A block's begin
// and end take as long as some stretches.
constexpr std::int64_t blocks_a_processor = 2;
constexpr float log2_of_e = 1.44269504F;

std::int64_t divided_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

// Entry blocks that so many pages can touch.
std::int64_t blocks_of(std::int64_t pages, std::int64_t page_entries) {
  return pages == 0 ? 0 : divided_up(pages * page_entries, entry_block) + 1;
}

std::int64_t group_of(const AttentionArgs& args) {
  return args.heads / args.kv.kv_heads;
}

// Where the parts of widened runs begin: pages at 0, then runs, then their page tables.
struct WidenedParts {
  std::int64_t runs;
  std::int64_t table;
  std::int64_t bytes;  // in all
};

WidenedParts widened_parts(const WidenArgs& args) {
  const std::int64_t pages = std::int64_t{args.count} * args.run_places;
  WidenedParts parts{.runs = pages * args.to.page_bytes, .table = 0, .bytes = 0};
  parts.table = parts.runs + args.count * static_cast<std::int64_t>(sizeof(RowRun));
  parts.bytes = parts.table + pages * static_cast<std::int64_t>(sizeof(std::int32_t));
  return parts;
}

}  // namespace

AttentionPlan::AttentionPlan(bool deterministic) : deterministic_(deterministic) {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&processors_, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
}

// Sizes are rounded up as TableSizes are, so that what is recorded holds until these change.
AttentionPlan::Widening AttentionPlan::plan_widening(const AttentionArgs& args, const TableSizes& sizes) const {
  Widening plan{.text_places = sizes.text, .run_places = sizes.text + sizes.summary};
  plan.page_bytes = 2 * args.kv.page_entries * args.kv.head_dim * size_of(DType::bf16);
  const std::int64_t head_bytes = std::max<std::int64_t>(plan.run_places * plan.page_bytes, 1);
  plan.heads = std::min(most_widened_bytes / head_bytes, args.kv.kv_heads);
  // The longest table of a step must not decide by which way the others' rows go: a head takes what it takes.
  if (deterministic_) plan.heads = std::max<std::int64_t>(plan.heads, 1);
  plan.runs = std::clamp<std::int64_t>(most_widened_bytes / (head_bytes * args.kv.kv_heads), 1, most_pieces);
  return plan;
}

bool AttentionPlan::fits_tiles(const AttentionArgs& args, const RowRun& run) const {
  const std::int64_t group = group_of(args);
  const std::int64_t dim = args.kv.head_dim;
  const bool has_kernel = dim == 64 || dim == 80 || dim == 96 || dim == 128 || dim == 256;
  if (!has_kernel || group > tile_queries || args.kv.type == DType::f32) return false;
  if (deterministic_) return !run.decoded;
  if (args.kv.type == DType::f8_e4m3) {
    return widening_.heads > 0 && run.rows >= few_widened_rows && run.rows * group >= few_widened_queries;
  }
  return run.rows > 1 && run.rows * group > few_queries;
}

AttentionBatch AttentionPlan::empty_batch(const AttentionArgs& args) const {
  const auto entries = static_cast<std::uint64_t>(args.kv.page_entries);
  return {.q = args.q,
          .q_stride = args.q_stride,
          .out = args.out,
          .runs = args.device_runs,
          .bounds = args.bounds,
          .kv = args.kv,
          .picked = args.picked,
          .picked_q = args.picked_q,
          .picks = args.device_picks,
          .picked_list = nullptr,
          .scale = args.scale * log2_of_e,
          .heads = narrow<std::int32_t>(args.heads),
          .page_shift = std::has_single_bit(entries) ? std::countr_zero(entries) : -1,
          .count = 0,
          .pieces = {}};
}

void AttentionPlan::make(const AttentionArgs& args) {
  PRECIS_CHECK(args.device_runs != nullptr && args.heads % args.kv.kv_heads == 0);
  splits_.clear();
  tiles_.clear();
  partial_floats_ = 0;
  counters_ = 0;
  widened_bytes_ = 0;
  const TableSizes sizes = table_sizes(args.runs);
  widening_ = plan_widening(args, sizes);
  const std::int64_t stretches =
      blocks_of(sizes.text, args.kv.page_entries) + blocks_of(sizes.summary, args.kv.page_entries);
  stretches_ = static_cast<std::int32_t>(std::clamp<std::int64_t>(stretches, 1, most_stretches));
  const std::int64_t row_floats = args.heads * stretches_ * (args.kv.head_dim + 2);
  most_rows_ = static_cast<std::int32_t>(std::clamp<std::int64_t>(most_partial_floats / row_floats, 1, 1 << 16));
  std::int32_t picks = 0;
  for (std::size_t index = 0; index < args.runs.size(); ++index) {
    const auto run = narrow<std::int32_t>(index);
    const std::int32_t pick = args.runs[index].picked ? picks++ : -1;
    if (fits_tiles(args, args.runs[index])) {
      add_tiles(args, run, pick);
    } else {
      add_split(args, run, pick);
    }
  }
  finish_picks(args);
  finish_splits(args);
  if (args.kv.type == DType::f8_e4m3) finish_tiles(args);
}

// What was picked is read where it is if nothing but attention_decode.cuh reads it.
void AttentionPlan::finish_picks(const AttentionArgs& args) {
  const auto has_picked = [](const AttentionBatch& batch) {
    return std::any_of(batch.pieces, batch.pieces + batch.count,
                       [](const AttentionPiece& piece) { return piece.pick >= 0; });
  };
  const auto splits = [&](const SplitArgs& of) { return has_picked(of.batch); };
  const auto tiles = [&](const TileBatch& of) { return has_picked(of.tiles.batch); };
  wants_copies_ = args.picked_list != nullptr &&
                  (std::ranges::any_of(tiles_, tiles) || (!decodes(args.kv) && std::ranges::any_of(splits_, splits)));
  for (SplitArgs& of : splits_) {
    of.picks = has_picked(of.batch);
    if (!wants_copies_) of.batch.picked_list = args.picked_list;
  }
}

void AttentionPlan::add_split(const AttentionArgs& args, std::int32_t run, std::int32_t pick) {
  const std::int32_t first_row = args.runs[static_cast<std::size_t>(run)].first_row;
  const std::int32_t rows = args.runs[static_cast<std::size_t>(run)].rows;
  for (std::int32_t first = 0; first < rows;) {
    if (splits_.empty() || splits_.back().batch.count == most_pieces || splits_.back().rows == most_rows_) {
      splits_.push_back({.batch = empty_batch(args),
                         .rows = 0,
                         .most_rows = 0,
                         .slots = 1,
                         .stretches = stretches_,
                         .picks = false,
                         .is_placed = false,
                         .next = nullptr,
                         .next_bytes = 0,
                         .rounded = nullptr,
                         .outputs = nullptr,
                         .sums = nullptr,
                         .counters = nullptr});
    }
    SplitArgs& batch = splits_.back();
    const std::int32_t piece = std::min({rows - first, most_piece_rows, most_rows_ - batch.rows});
    batch.batch.pieces[batch.batch.count++] = {
        .run = run, .row = first_row + first, .rows = piece, .at = batch.rows, .pick = pick};
    batch.rows += piece;
    batch.most_rows = std::max(batch.most_rows, piece);
    first += piece;
  }
}

void AttentionPlan::finish_splits(const AttentionArgs& args) {
  for (SplitArgs& batch : splits_) {
    const std::int64_t room = blocks_a_processor * processors_ / (batch.rows * args.kv.kv_heads);
    // A power of two, as the numbers of long rows' stretches are about one.
    const auto wanted =
        static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(room, 1))));
    batch.slots = static_cast<std::int32_t>(std::min<std::int64_t>(wanted, stretches_));
    partial_floats_ = std::max(partial_floats_, batch.rows * args.heads * stretches_ * (args.kv.head_dim + 2));
    counters_ = std::max(counters_, batch.rows * args.kv.kv_heads);
  }
}

void AttentionPlan::set_rounded(void* rounded, const WeightView& next) {
  for (SplitArgs& batch : splits_) {
    batch.rounded = rounded;
    batch.next = next.data;
    batch.next_bytes = next.value_bytes() / 16 * 16;
  }
}

void AttentionPlan::set_placed() {
  for (SplitArgs& batch : splits_) batch.is_placed = true;
}

void AttentionPlan::set_partials(float* partials, std::int32_t* counters) {
  for (SplitArgs& batch : splits_) {
    batch.counters = counters;
    batch.outputs = partials;
    batch.sums = partials + std::int64_t{batch.rows} * batch.batch.heads * batch.stretches * batch.batch.kv.head_dim;
  }
}

void AttentionPlan::add_tiles(const AttentionArgs& args, std::int32_t run, std::int32_t pick) {
  const std::int64_t most = args.kv.type == DType::f8_e4m3 ? widening_.runs : most_pieces;
  if (tiles_.empty() || tiles_.back().tiles.batch.count == most) {
    const auto kv_heads = narrow<std::int32_t>(args.kv.kv_heads);
    tiles_.push_back({.tiles = {.batch = empty_batch(args), .tiles = 0, .kv_heads = kv_heads}, .widen = std::nullopt});
  }
  TileArgs& batch = tiles_.back().tiles;
  const RowRun& of = args.runs[static_cast<std::size_t>(run)];
  batch.batch.pieces[batch.batch.count++] = {
      .run = run, .row = of.first_row, .rows = of.rows, .at = batch.tiles, .pick = pick};
  batch.tiles += static_cast<std::int32_t>(divided_up(of.rows, tile_queries / group_of(args)));
}

// Batches over e4m3 -> for each some KV heads after the other, over what is widened of these.
void AttentionPlan::finish_tiles(const AttentionArgs& args) {
  const std::vector<TileBatch> whole = std::exchange(tiles_, {});
  for (const TileBatch& of_all : whole) {
    for (std::int64_t first = 0; first < args.kv.kv_heads; first += widening_.heads) {
      TileBatch& batch = tiles_.emplace_back(of_all);
      const std::int64_t heads = std::min(widening_.heads, args.kv.kv_heads - first);
      WidenArgs& widen = batch.widen.emplace();
      widen.from = args.kv;
      widen.picked = args.picked;
      widen.to = args.kv;
      widen.to.type = DType::bf16;
      widen.to.far_base = nullptr;
      widen.to.page_bytes = heads * widening_.page_bytes;
      widen.to.layer_offset = 0;
      widen.to.value_offset = widen.to.page_bytes / 2;
      widen.from_runs = args.device_runs;
      widen.first_head = static_cast<std::int32_t>(first);
      widen.heads = static_cast<std::int32_t>(heads);
      widen.text_places = narrow<std::int32_t>(widening_.text_places);
      widen.run_places = narrow<std::int32_t>(widening_.run_places);
      AttentionBatch& tiles = batch.tiles.batch;
      widen.count = tiles.count;
      for (std::int32_t piece = 0; piece < tiles.count; ++piece) {
        widen.runs[piece] = std::exchange(tiles.pieces[piece].run, piece);
      }
      batch.tiles.kv_heads = widen.heads;
      tiles.q += first * group_of(args) * args.kv.head_dim;
      if (tiles.picked_q != nullptr) tiles.picked_q += first * group_of(args) * args.kv.head_dim;
      tiles.out += first * group_of(args) * args.kv.head_dim;
      widened_bytes_ = std::max(widened_bytes_, widened_parts(widen).bytes);
    }
  }
}

void AttentionPlan::set_widened(std::byte* memory) {
  for (TileBatch& batch : tiles_) {
    WidenArgs& widen = *batch.widen;
    const WidenedParts parts = widened_parts(widen);
    widen.to.base = memory;
    widen.table = reinterpret_cast<std::int32_t*>(memory + parts.table);
    widen.to_runs = reinterpret_cast<RowRun*>(memory + parts.runs);
    batch.tiles.batch.kv = widen.to;
    batch.tiles.batch.picked = widen.to;  // of picked runs, the table of what was widened has that as well
    batch.tiles.batch.runs = widen.to_runs;
  }
}

}  // namespace precis::cuda
