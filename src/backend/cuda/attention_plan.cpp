#include "backend/cuda/attention_plan.h"

#include <algorithm>
#include <bit>

#include "backend/cuda/check.h"
#include "base/checked.h"

namespace precis::cuda {
namespace {

// Queries (rows times heads of a group) that a run has at least for tiles to be worth while.
constexpr std::int64_t few_queries = 16;
// Of the partial results of a launch.
constexpr std::int64_t most_partial_floats = 32 << 20;
constexpr std::int32_t most_piece_rows = 64;
// Blocks wanted for each processor: some more than it runs at once, so that the last to end is not late by much, but
// few, as a block's begin and end take as long as some stretches.
constexpr std::int64_t blocks_a_processor = 4;
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

}  // namespace

AttentionPlan::AttentionPlan() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&processors_, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
}

bool AttentionPlan::fits_tiles(const AttentionArgs& args, const RowRun& run) const {
  const std::int64_t group = group_of(args);
  const std::int64_t dim = args.kv.head_dim;
  const bool has_kernel = dim == 64 || dim == 80 || dim == 96 || dim == 128 || dim == 256;
  return args.kv.type == DType::bf16 && has_kernel && group <= tile_queries && run.rows > 1 &&
         run.rows * group > few_queries;
}

AttentionBatch AttentionPlan::empty_batch(const AttentionArgs& args) const {
  const auto entries = static_cast<std::uint64_t>(args.kv.page_entries);
  return {.q = args.q,
          .q_stride = args.q_stride,
          .out = args.out,
          .runs = args.device_runs,
          .bounds = args.bounds,
          .kv = args.kv,
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
  const TableSizes sizes = table_sizes(args.runs);
  const std::int64_t stretches =
      blocks_of(sizes.text, args.kv.page_entries) + blocks_of(sizes.summary, args.kv.page_entries);
  stretches_ = static_cast<std::int32_t>(std::clamp<std::int64_t>(stretches, 1, most_stretches));
  const std::int64_t row_floats = args.heads * stretches_ * (args.kv.head_dim + 2);
  most_rows_ = static_cast<std::int32_t>(std::clamp<std::int64_t>(most_partial_floats / row_floats, 1, 1 << 16));
  for (std::size_t index = 0; index < args.runs.size(); ++index) {
    const auto run = narrow<std::int32_t>(index);
    if (fits_tiles(args, args.runs[index])) {
      add_tiles(args, run);
    } else {
      add_split(args, run);
    }
  }
  finish_splits(args);
}

void AttentionPlan::add_split(const AttentionArgs& args, std::int32_t run) {
  const std::int32_t first_row = args.runs[static_cast<std::size_t>(run)].first_row;
  const std::int32_t rows = args.runs[static_cast<std::size_t>(run)].rows;
  for (std::int32_t first = 0; first < rows;) {
    if (splits_.empty() || splits_.back().batch.count == most_pieces || splits_.back().rows == most_rows_) {
      splits_.push_back({.batch = empty_batch(args),
                         .rows = 0,
                         .most_rows = 0,
                         .slots = 1,
                         .stretches = stretches_,
                         .outputs = nullptr,
                         .sums = nullptr,
                         .counters = nullptr});
    }
    SplitArgs& batch = splits_.back();
    const std::int32_t piece = std::min({rows - first, most_piece_rows, most_rows_ - batch.rows});
    batch.batch.pieces[batch.batch.count++] = {.run = run, .row = first_row + first, .rows = piece, .at = batch.rows};
    batch.rows += piece;
    batch.most_rows = std::max(batch.most_rows, piece);
    first += piece;
  }
}

void AttentionPlan::finish_splits(const AttentionArgs& args) {
  for (SplitArgs& batch : splits_) {
    const std::int64_t wanted = divided_up(blocks_a_processor * processors_, batch.rows * args.kv.kv_heads);
    batch.slots = static_cast<std::int32_t>(std::clamp<std::int64_t>(wanted, 1, stretches_));
    partial_floats_ = std::max(partial_floats_, batch.rows * args.heads * stretches_ * (args.kv.head_dim + 2));
    counters_ = std::max(counters_, batch.rows * args.kv.kv_heads);
  }
}

void AttentionPlan::set_partials(float* partials, std::int32_t* counters) {
  for (SplitArgs& batch : splits_) {
    batch.counters = counters;
    batch.outputs = partials;
    batch.sums = partials + std::int64_t{batch.rows} * batch.batch.heads * batch.stretches * batch.batch.kv.head_dim;
  }
}

void AttentionPlan::add_tiles(const AttentionArgs& args, std::int32_t run) {
  if (tiles_.empty() || tiles_.back().batch.count == most_pieces) {
    tiles_.push_back({.batch = empty_batch(args), .tiles = 0});
  }
  TileArgs& batch = tiles_.back();
  const RowRun& of = args.runs[static_cast<std::size_t>(run)];
  batch.batch.pieces[batch.batch.count++] = {.run = run, .row = of.first_row, .rows = of.rows, .at = batch.tiles};
  batch.tiles += static_cast<std::int32_t>(divided_up(of.rows, tile_queries / group_of(args)));
}

}  // namespace precis::cuda
