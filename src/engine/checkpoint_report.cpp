#include "precis/checkpoint_report.h"

#include <map>

#include "base/checked.h"
#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "engine/model_files.h"
#include "families/families.h"
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

// `type_of`: the element type of a tensor by its name.
template <typename TypeOf>
void report_tensors(const ModelSpec& spec, const TypeOf& type_of, CheckpointReport& report) {
  std::map<std::string, std::int64_t> bytes_by_type;
  for (const ExpectedTensor& expected : expected_tensors(spec)) {
    const DType type = type_of(expected.name);
    std::int64_t elements = 1;
    for (const std::int64_t size : expected.shape) elements = checked_mul(elements, size, expected.name);
    const std::int64_t bytes = checked_mul(elements, size_of(type), expected.name);
    report.parameters = checked_add(report.parameters, elements, expected.name);
    report.bytes = checked_add(report.bytes, bytes, expected.name);
    report.tensors += 1;
    bytes_by_type[std::string(precis::name_of(type))] += bytes;
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
      spec, [&](const std::string& name) { return checkpoint.tensor(name).view.type; }, report);
  report.files = checkpoint.files();
  report.unused = unused_tensors(checkpoint, spec);
  return report;
}

CheckpointReport inspect_configuration(const std::filesystem::path& path) {
  const ModelSpec spec = read_model_spec(read_configuration(path));
  CheckpointReport report;
  report_model(spec, report);
  report_tensors(
      spec, [&](const std::string&) { return spec.weights; }, report);
  return report;
}

}  // namespace precis
