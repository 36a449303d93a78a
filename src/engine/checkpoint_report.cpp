#include "precis/checkpoint_report.h"

#include <map>

#include "base/checked.h"
#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "engine/model_files.h"
#include "families/families.h"
#include "model/stored_matrix.h"
#include "model/weight_names.h"

namespace precis {
namespace {

std::string_view name_of(Sight sight) {
  switch (sight) {
    case Sight::full:
      return "full";
    case Sight::window:
      return "window";
    case Sight::summary:
      return "summary";
  }
  PRECIS_CHECK(false);
}

std::string_view name_of(TextPositions positions) {
  return positions == TextPositions::origin ? "in the text" : "in the chunk";
}

std::string_view name_of(SummaryPositions positions) {
  switch (positions) {
    case SummaryPositions::slice_right:
      return "at the right of their slices";
    case SummaryPositions::slice_left:
      return "at the left of their slices";
    case SummaryPositions::zeros:
      return "at zero";
  }
  PRECIS_CHECK(false);
}

std::string shown_yarn(const RopeSpec& rope) {
  std::string text = fmt::format("yarn, theta {}, factor {}, original context {}, beta {} to {}", rope.theta,
                                 rope.factor, rope.original_context, rope.beta_fast, rope.beta_slow);
  if (rope.attention_factor) text += fmt::format(", attention factor {}", *rope.attention_factor);
  if (rope.mscale != 0) text += fmt::format(", mscale {}", rope.mscale);
  if (rope.mscale_all_dim != 0) text += fmt::format(", mscale_all_dim {}", rope.mscale_all_dim);
  if (!rope.truncate) text += ", not truncated";
  return text;
}

std::string shown_rope(const RopeSpec& rope) {
  switch (rope.kind) {
    case RopeKind::standard:
      return fmt::format("theta {}", rope.theta);
    case RopeKind::linear:
      return fmt::format("linear, theta {}, factor {}", rope.theta, rope.factor);
    case RopeKind::llama3:
      return fmt::format("llama3, theta {}, factor {}, frequency factors {} to {}, original context {}", rope.theta,
                         rope.factor, rope.low_freq_factor, rope.high_freq_factor, rope.original_context);
    case RopeKind::yarn:
      return shown_yarn(rope);
  }
  PRECIS_CHECK(false);
}

std::string shown_summary(const SummarySpec& summary) {
  const std::string projections = !summary.own_projections ? "shared projections"
                                  : summary.mix == 1       ? "own projections"
                                                           : fmt::format("own projections, mixed by {}", summary.mix);
  return fmt::format("summary ids from {}, {}, {} norm, text positions {}, summary positions {}", summary.first_id,
                     projections, summary.own_norm ? "own" : "shared", name_of(summary.text_positions),
                     name_of(summary.summary_positions));
}

void report_model(const ModelSpec& spec, CheckpointReport& report) {
  report.family = spec.family;
  report.layers = spec.layers;
  report.hidden = spec.hidden;
  report.ffn = spec.ffn;
  report.heads = spec.heads;
  report.kv_heads = spec.kv_heads;
  report.head_dim = spec.head_dim;
  report.embeddings = spec.embeddings;
  report.vocabulary = spec.vocabulary;
  report.context = spec.context;
  report.rope = shown_rope(spec.rope);
  report.tied_head = spec.tied_head;
  if (spec.quantized) report.quantized = precis::name_of(*spec.quantized);
  report.chunk_text = spec.chunk.text;
  report.chunk_summary = spec.chunk.summary;
  if (spec.summary) report.summary = shown_summary(*spec.summary);
  for (const std::int32_t index : spec.rule_of_layer) {
    const LayerRule& rule = spec.rules[static_cast<std::size_t>(index)];
    report.layer.push_back({std::string(name_of(rule.sight)), rule.window});
  }
  constexpr std::int64_t k_and_v = 2;
  report.kv_bytes_per_token_full = spec.layers * k_and_v * spec.kv_heads * spec.head_dim * size_of(DType::bf16);
}

std::int64_t elements_of(const ExpectedTensor& tensor) {
  std::int64_t elements = 1;
  for (const std::int64_t size : tensor.shape) elements = checked_mul(elements, size, tensor.name);
  return elements;
}

using FormatAndBytes = std::pair<std::string_view, std::int64_t>;

// In a checkpoint; with the scales of a quantized matrix.
FormatAndBytes stored_as(const Checkpoint& checkpoint, const ExpectedTensor& tensor) {
  if (tensor.shape.size() == 2) {
    const StoredMatrix matrix = find_matrix(checkpoint, tensor.name, tensor.shape[0], tensor.shape[1]);
    return {precis::name_of(matrix.format), matrix.bytes()};
  }
  const TensorView view = checkpoint.tensor(tensor.name).view;
  return {precis::name_of(view.type), view.bytes()};
}

// `stored`: format and bytes of an expected tensor.
template <typename Stored>
void report_tensors(const ModelSpec& spec, const Stored& stored, CheckpointReport& report) {
  std::map<std::string, std::int64_t> bytes_by_type;
  for (const ExpectedTensor& expected : expected_tensors(spec)) {
    const FormatAndBytes as = stored(expected);
    report.parameters = checked_add(report.parameters, elements_of(expected), expected.name);
    report.bytes = checked_add(report.bytes, as.second, expected.name);
    report.tensors += 1;
    bytes_by_type[std::string(as.first)] += as.second;
  }
  report.bytes_by_type.assign(bytes_by_type.begin(), bytes_by_type.end());
}

}  // namespace

CheckpointReport inspect(const std::filesystem::path& folder) {
  const Checkpoint checkpoint{Folder(folder)};
  const ModelSpec spec = read_model_spec(checkpoint);
  CheckpointReport report;
  report_model(spec, report);
  report_tensors(
      spec, [&](const ExpectedTensor& tensor) { return stored_as(checkpoint, tensor); }, report);
  report.files = checkpoint.files();
  report.unused = unused_tensors(checkpoint, spec);
  return report;
}

CheckpointReport inspect_configuration(const std::filesystem::path& path) {
  const ModelSpec spec = read_model_spec(read_configuration(path));
  CheckpointReport report;
  report_model(spec, report);
  report_tensors(
      spec,
      [&](const ExpectedTensor& tensor) {
        const std::int64_t bytes = checked_mul(elements_of(tensor), size_of(spec.weights), tensor.name);
        return FormatAndBytes(precis::name_of(spec.weights), bytes);
      },
      report);
  return report;
}

}  // namespace precis
