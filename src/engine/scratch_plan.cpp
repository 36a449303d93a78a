#include "engine/scratch_plan.h"

#include <algorithm>
#include <bit>

namespace precis {
namespace {

// What follows repeats limits of src/backend/cuda, which a build without CUDA does not have.

// The products' library asks for it (matrix_products.cpp); and recorded steps, counters, and what small buffers are
// rounded up to, as measured on an H100 with one sequence.
constexpr std::int64_t library_bytes = std::int64_t{32} << 20;
constexpr std::int64_t small_bytes = std::int64_t{6} << 20;
// Rows that products convert at a time, and in deterministic mode (cuda_linear.cpp).
constexpr std::int64_t device_rows_at_a_time = 8192;
constexpr std::int64_t deterministic_rows_at_a_time = 64;
// Of a matrix, dequantized at a time (cuda_linear.cpp).
constexpr std::int64_t stripe_bytes = std::int64_t{64} << 20;
// attention_plan.cpp
constexpr std::int64_t most_partial_floats = std::int64_t{32} << 20;
constexpr std::int64_t most_widened_bytes = std::int64_t{512} << 20;
constexpr std::int64_t most_widened_runs = 128;
constexpr std::int64_t most_stretches = 64;
constexpr std::int64_t entry_block = 64;
constexpr std::int64_t few_queries = 16;
constexpr std::int64_t few_widened_queries = 128;
constexpr std::int64_t few_widened_rows = 8;
// The driver gives memory out in these.
constexpr std::int64_t granule = std::int64_t{2} << 20;

// Rows that a CPU's products convert at a time.
constexpr std::int64_t host_rows_at_a_time = 1024;
// What a worker keeps of quantized weights and of their products' sums.
constexpr std::int64_t panel_bytes = std::int64_t{1} << 20;

std::int64_t rounded_up(std::int64_t bytes) {
  return (bytes + granule - 1) / granule * granule;
}

std::int64_t largest_inputs(const ModelSpec& spec) {
  return std::max({spec.hidden, spec.ffn, spec.heads * spec.head_dim});
}

std::int64_t table_places(std::int64_t pages) {
  return pages <= 0 ? 0 : static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(pages)));
}

// Rows and MLP products of a step.
std::int64_t row_bytes(const ModelSpec& spec, const ScratchTraits& traits, std::int64_t rows) {
  const std::int64_t at_once =
      std::min(rows, traits.deterministic ? deterministic_rows_at_a_time : device_rows_at_a_time);
  const std::int64_t activations = at_once * largest_inputs(spec) * (traits.exact ? 4 : 2);
  const std::int64_t ups = at_once * spec.ffn * std::int64_t{sizeof(float)};
  const std::int64_t gates = traits.exact ? 0 : at_once * spec.ffn * 2;
  return rounded_up(activations) + rounded_up(ups) + rounded_up(gates);
}

std::int64_t dequantized_bytes(const ModelSpec& spec, const ScratchTraits& traits) {
  if (!traits.exact && !traits.quantized) return 0;
  const std::int64_t outputs = std::max({spec.ffn, spec.hidden, spec.qkv_width(), spec.vocabulary});
  const std::int64_t row = largest_inputs(spec) * (traits.exact ? 4 : 2);
  return rounded_up(outputs <= stripe_bytes / row ? outputs * row : std::max(stripe_bytes, row));
}

// Rows of one run that are split among blocks, at most.
std::int64_t split_rows_of_run(const ModelSpec& spec, DType type, std::int64_t rows) {
  const std::int64_t dim = spec.head_dim;
  const std::int64_t group = spec.group_heads();
  const bool has_tiles = dim == 64 || dim == 80 || dim == 96 || dim == 128 || dim == 256;
  if (!has_tiles || type == DType::f32) return rows;
  const std::int64_t split = type == DType::f8_e4m3 ? std::max((few_widened_queries - 1) / group, few_widened_rows - 1)
                                                    : std::max<std::int64_t>(few_queries / group, 1);
  return std::min(split, rows);
}

// Runs of a sequence in a step: its text, and its summaries.
std::int64_t runs_of_sequence(const ModelSpec& spec) {
  return spec.chunk.any() ? 2 : 1;
}

std::int64_t partial_bytes(const ModelSpec& spec, const KvGeometry& geometry, std::span<const GroupPages> tables,
                           const StepLimits& limits) {
  const auto blocks = [&](std::int64_t pages) {
    return pages <= 0 ? 0 : (table_places(pages) * geometry.page_entries + entry_block - 1) / entry_block + 1;
  };
  std::int64_t stretches = 1;
  for (const GroupPages& of : tables) stretches = std::max(stretches, blocks(of.text) + blocks(of.summary));
  const std::int64_t row = spec.heads * std::min(stretches, most_stretches) * (spec.head_dim + 2);
  const std::int64_t rows = std::min(
      limits.rows, limits.sequences * runs_of_sequence(spec) * split_rows_of_run(spec, geometry.type, limits.rows));
  const std::int64_t attention = rows <= most_partial_floats / row ? rows * row : std::max(most_partial_floats, row);
  // Scores and keys of what a sequence chooses from.
  const std::int64_t selection = spec.esa ? 2 * limits.sequences * limits.positions + limits.rows : 0;
  return rounded_up(std::max(attention, selection) * std::int64_t{sizeof(float)});
}

// As AttentionPlan::plan_widening has it, at the context that asks for most.
std::int64_t widened_bytes(const ModelSpec& spec, const KvGeometry& geometry, std::span<const GroupPages> tables,
                           const ScratchTraits& traits, const StepLimits& limits) {
  if (geometry.type != DType::f8_e4m3) return 0;
  std::int64_t most = 0;
  for (const GroupPages& of : tables) {
    for (std::int64_t text = table_places(of.text); text > 0; text /= 2) {
      const std::int64_t places = text + table_places(of.summary);
      const std::int64_t head = places * 2 * geometry.page_entries * geometry.head_dim * size_of(DType::bf16);
      std::int64_t heads = std::min(most_widened_bytes / head, geometry.kv_heads);
      if (traits.deterministic) heads = std::max<std::int64_t>(heads, 1);
      const std::int64_t fitting =
          std::clamp<std::int64_t>(most_widened_bytes / (head * geometry.kv_heads), 1, most_widened_runs);
      const std::int64_t runs = std::min(fitting, limits.sequences * runs_of_sequence(spec));
      most = std::max(most, runs * heads * head);
    }
  }
  return rounded_up(most);
}

}  // namespace

std::int64_t scratch_bytes(const ModelSpec& spec, const KvGeometry& geometry, std::span<const GroupPages> tables,
                           const ScratchTraits& traits, const StepLimits& limits) {
  return row_bytes(spec, traits, limits.rows) + dequantized_bytes(spec, traits) +
         partial_bytes(spec, geometry, tables, limits) + widened_bytes(spec, geometry, tables, traits, limits) +
         library_bytes + small_bytes;
}

std::int64_t host_scratch_bytes(const ModelSpec& spec, const HostScratch& host, std::int64_t rows) {
  const std::int64_t number_bytes = host.exact ? sizeof(float) : sizeof(std::int16_t);
  return std::min(rows, host_rows_at_a_time) * largest_inputs(spec) * number_bytes +
         (host.quantized ? host.workers * panel_bytes : 0);
}

}  // namespace precis
