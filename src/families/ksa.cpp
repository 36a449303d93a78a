// Kwai Summary Attention on top of Qwen 3. Source: arXiv 2604.24432 and its published configurations.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "families/common.h"
#include "families/layer_pattern.h"

namespace precis {
namespace {

constexpr std::int64_t max_chunk = 65'536;
constexpr std::int64_t max_summary_tokens = 4;
constexpr std::int64_t default_head_dim = 128;        // as in Qwen 3
constexpr std::int64_t default_vocabulary = 151'936;  // truncate_predict_nums, where absent

template <typename Enum>
struct Named {
  std::string_view name;
  Enum value;
};

template <typename Enum, std::size_t count>
Enum read_choice(const JsonView& value, const std::array<Named<Enum>, count>& choices) {
  std::vector<std::string_view> names;
  for (const auto& choice : choices) {
    if (choice.name == value.string()) return choice.value;
    names.push_back(choice.name);
  }
  value.refuse(fmt::format("expected one of {}", fmt::join(names, ", ")));
}

// The blend of own and shared q, k and v. With no weight on the own projections they are not needed at all.
void read_mix(Fields& config, SummarySpec& summary) {
  const bool independent = config.at("summary_independent_parameters").boolean();
  const bool projected = config.flag("summary_independent_qkv", independent);  // the authors' later, narrower switch
  summary.mix = independent && projected ? static_cast<float>(config.number("mix_coeff", 0, 1)) : 0.0F;
  config.ignore("mix_coeff");
  summary.own_projections = summary.mix > 0;
}

SummarySpec read_summary(Fields& config) {
  constexpr std::array<Named<TextPositions>, 2> text_positions = {
      {{"origin", TextPositions::origin}, {"inner_chunk", TextPositions::inner_chunk}}};
  constexpr std::array<Named<SummaryPositions>, 3> summary_positions = {
      {{"last_chunk_slice_right", SummaryPositions::slice_right},
       {"last_chunk_slice_left", SummaryPositions::slice_left},
       {"zeros", SummaryPositions::zeros}}};
  SummarySpec summary;
  summary.first_id = static_cast<std::int32_t>(config.integer("summary_token_begin", 0, max_size));
  read_mix(config, summary);
  summary.own_norm = config.flag("summary_independent_attention_layernorm", false);
  summary.text_positions = read_choice(config.at("summary_chunk_position_ids_type"), text_positions);
  summary.summary_positions = read_choice(config.at("summary_token_position_ids_type"), summary_positions);
  return summary;
}

// The published layers with the smallest window are those trained to read summaries; wider ones see all text.
void add_summary_layers(Fields& config, ModelSpec& spec) {
  if (const auto frequency = config.find("summary_layer_freq")) {
    for (const std::int64_t entry : read_layer_pattern(*frequency, spec.layers)) {
      if (entry != 1) frequency->refuse("expected 1 for every layer (layers without summary attention are not known)");
    }
  }
  const auto windows = read_layer_pattern(config.at("summary_sliding_chunk_num"), spec.layers);
  const std::int64_t smallest = *std::min_element(windows.begin(), windows.end());
  for (const std::int64_t window : windows) {
    spec.add_layer(window == smallest ? LayerRule{Sight::summary, window} : LayerRule{});
  }
}

// The table has the summary tokens' rows at its end, whether vocab_size counts them or not.
void read_rows(FamilySource& source, ModelSpec& spec) {
  const std::int64_t needed = spec.summary->first_id + spec.chunk.summary;
  spec.embeddings = source.embedding_rows.value_or(std::max(spec.embeddings, needed));
  if (spec.embeddings < needed) {
    source.config.at("summary_token_begin")
        .refuse(
            fmt::format("expected {} rows from there on in an embedding of {}", spec.chunk.summary, spec.embeddings));
  }
  const std::int64_t predicted = source.config.integer("truncate_predict_nums", 1, max_size, default_vocabulary);
  spec.vocabulary = std::min(predicted, spec.embeddings);
}

// Qwen 3 settings that nobody has defined together with summaries.
void refuse_combinations(Fields& config, const ModelSpec& spec) {
  for (const std::string_view key : {"attention_bias", "use_sliding_window", "summary_independent_qk_norm"}) {
    if (config.flag(key, false)) config.at(key).refuse("expected false with summary attention");
  }
  config.ignore("sliding_window");
  config.ignore("max_window_layers");
  const auto types = config.find("layer_types");
  if (!types) return;
  if (!types->is_array() || static_cast<std::int64_t>(types->size()) != spec.layers) {
    types->refuse(fmt::format("expected a list of {} entries, one per layer", spec.layers));
  }
  for (std::size_t i = 0; i < types->size(); ++i) {
    const JsonView type = (*types)[i];
    if (type.string() != "full_attention") type.refuse("expected full_attention with summary attention");
  }
}

// How the authors' own programs train and run the model; the numbers are the same.
void ignore_training(Fields& config) {
  for (const std::string_view key :
       {"summary_mix_qkv", "summary_mix_start_iter", "summary_mix_end_iter", "summary_attention_mode",
        "enable_summary_distill_attention", "summary_distill_attention_norm"}) {
    config.ignore(key);
  }
}

}  // namespace

ModelSpec read_ksa(FamilySource& source) {
  Fields& config = source.config;
  ModelSpec spec = read_common(source, "ksa", default_head_dim);
  spec.qk_norm = true;
  spec.chunk.text = config.integer("summary_chunk_size", 1, max_chunk);
  spec.chunk.summary = config.integer("summary_token_num", 1, max_summary_tokens);
  spec.summary = read_summary(config);
  read_rows(source, spec);
  add_summary_layers(config, spec);
  refuse_combinations(config, spec);
  ignore_training(config);
  return spec;
}

}  // namespace precis
