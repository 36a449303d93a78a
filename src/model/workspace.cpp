#include "model/workspace.h"

#include <algorithm>

#include "base/checked.h"
#include "device/host_memory.h"
#include "device/ops.h"

namespace precis {
namespace {

// Logits of a large vocabulary are the widest rows of all: few at a time.
constexpr std::int64_t logit_floats = 8 << 20;
// But where steps run ahead, those of all sequences that may be in one.
constexpr std::int64_t rows_ahead = 64;

std::int64_t logit_rows(const ModelSpec& spec, bool runs_asynchronously) {
  return std::max(logit_floats / spec.vocabulary, runs_asynchronously ? rows_ahead : 1);
}

}  // namespace

template <typename T>
T* Workspace::make(const Allocate& allocate, std::int64_t rows, std::int64_t width) {
  const std::int64_t bytes =
      checked_mul(checked_mul(rows, width, "workspace"), static_cast<std::int64_t>(sizeof(T)), "workspace");
  buffers_.push_back(allocate(bytes));
  bytes_ += bytes;
  return buffers_.back().as<T>();
}

std::int64_t picked_pages(const ModelSpec& spec, const StepLimits& limits, std::int64_t page_entries) {
  // Runs take whole pages each; what grows with their rows is a sum over all.
  const std::int64_t none = most_picked(*spec.esa, spec.chunk, 0);
  const std::int64_t rows = most_picked(*spec.esa, spec.chunk, limits.rows) - none;
  return limits.sequences * ((none + page_entries - 1) / page_entries + 1) + rows / page_entries + 1;
}

Workspace::Workspace(const ModelSpec& spec, const KvGeometry& geometry, bool runs_asynchronously,
                     const StepLimits& limits, const Allocate& allocate)
    : max_rows(limits.rows), max_logit_rows(std::min(logit_rows(spec, runs_asynchronously), limits.rows)) {
  const std::int64_t rows = limits.rows;
  const bool blends = spec.summary && spec.summary->own_projections && spec.summary->mix != 1;
  x = make<float>(allocate, rows, spec.hidden);
  normed = make<float>(allocate, rows, spec.hidden);
  qkv = make<float>(allocate, rows, spec.qkv_width());
  own_qkv = blends ? make<float>(allocate, rows, spec.qkv_width()) : nullptr;
  attended = make<float>(allocate, rows, spec.heads * spec.head_dim);
  gated = make<float>(allocate, rows, spec.ffn);
  rotation = make<float>(allocate, rows, spec.head_dim);
  results.resize(runs_asynchronously ? 2 : 1);
  const std::int64_t best_bytes = (max_logit_rows * std::int64_t{sizeof(std::int32_t)} + 15) / 16 * 16;
  for (StepResults& of : results) {
    of.logits = make<float>(allocate, max_logit_rows, spec.vocabulary);
    auto* choices = make<std::byte>(allocate, 1, best_bytes + max_logit_rows * std::int64_t{sizeof(RowDraw)});
    of.best = reinterpret_cast<std::int32_t*>(choices);
    of.draws =
        reinterpret_cast<RowDraw*>(reinterpret_cast<std::uintptr_t>(choices) + static_cast<std::uintptr_t>(best_bytes));
  }
  frequencies = make<float>(allocate, 1, spec.head_dim / 2);
  if (!spec.esa) return;
  query_sums = make<float>(allocate, rows, spec.kv_heads * spec.head_dim);
  plain_keys = make<float>(allocate, rows, spec.kv_heads * spec.head_dim);
  short_q = make<float>(allocate, rows, spec.esa->dim);
  short_k = make<float>(allocate, rows, spec.esa->dim);
  const bool fixed = spec.esa->positions == EsaPositions::fixed;
  if (fixed) picked_q = make<float>(allocate, rows, spec.heads * spec.head_dim);
  const bool turns = spec.esa->positions != EsaPositions::absolute;
  if (turns) rotations = make<float>(allocate, limits.positions, spec.head_dim);
  const std::int64_t pages = picked_pages(spec, limits, geometry.page_entries);
  picked_list = make<std::int32_t>(allocate, pages, geometry.page_entries);
  picked = make<std::byte>(allocate, pages, geometry.picked_view(nullptr).page_bytes);
}

std::int64_t workspace_bytes(const ModelSpec& spec, const KvGeometry& geometry, bool runs_asynchronously,
                             const StepLimits& limits) {
  const auto nowhere = [](std::int64_t bytes) { return Buffer(nullptr, bytes); };
  return Workspace(spec, geometry, runs_asynchronously, limits, nowhere).bytes();
}

std::int64_t held_workspace_bytes(const ModelSpec& spec, const KvGeometry& geometry, const StepLimits& limits) {
  std::int64_t held = 0;
  const auto count = [&](std::int64_t bytes) {
    held += held_host_bytes(bytes);
    return Buffer(nullptr, bytes);
  };
  const Workspace work(spec, geometry, false, limits, count);
  const std::int64_t row = spec.vocabulary * std::int64_t{sizeof(float)};
  const std::int64_t logits = work.max_logit_rows * row;
  const std::int64_t written = std::min(limits.sequences * row, logits);
  return held - held_host_bytes(logits) + held_host_bytes(logits, written);
}

}  // namespace precis
