#include "calibration/layer_runner.h"

#include <numeric>

#include "base/checked.h"
#include "calibration/window_step.h"

namespace precis {
namespace {

ModelSpec spec_of_layer(const ModelSpec& model, std::int64_t layer) {
  ModelSpec spec = model;
  spec.layers = 1;
  spec.vocabulary = 1;  // nothing is predicted
  spec.rules = {model.rules[static_cast<std::size_t>(model.rule_of_layer[static_cast<std::size_t>(layer)])]};
  spec.rule_of_layer = {0};
  return spec;
}

}  // namespace

std::vector<std::int32_t> window_ids(const ModelSpec& spec, std::span<const std::int32_t> text) {
  std::vector<std::int32_t> ids(text.begin(), text.end());
  const std::int64_t chunks = spec.chunk.complete(static_cast<std::int64_t>(text.size()));
  for (std::int64_t row = 0; row < chunks * spec.chunk.summary; ++row) {
    ids.push_back(narrow<std::int32_t>(spec.summary->first_id + row % spec.chunk.summary));
  }
  return ids;
}

LayerRunner::LayerRunner(const ModelSpec& spec, std::int64_t layer, Device& device, std::int64_t tokens)
    : spec_(spec_of_layer(spec, layer)),
      last_(layer + 1 == spec.layers),
      device_(device, &end_),
      geometry_(make_kv_geometry(spec_.rule_of_layer, window_page, spec.kv_heads, spec.head_dim, DType::f32)),
      pages_(window_pages(spec, tokens)),
      pool_(device.allocate(geometry_.device_bytes(pages_.total_pages()))) {
  weights_.embedding.inputs = spec.hidden;
  weights_.layers.resize(1);
  weights_.final_norm = &end_;
  decoder_ =
      std::make_unique<Decoder>(spec_, weights_, geometry_, device_, StepLimits{.rows = window_rows(spec, tokens)});
}

void LayerRunner::run(const LayerWeights& weights, std::int64_t tokens, const LayerWatch& watch) {
  weights_.layers.front() = weights;
  device_.ops().watch(watch);
  WindowStep step(spec_, geometry_, pages_, std::vector<std::int32_t>(static_cast<std::size_t>(tokens)));
  StepInputs& inputs = step.inputs();
  // Every row goes to the layer's end, as if its logits were wanted.
  inputs.logit_rows.resize(static_cast<std::size_t>(last_ ? tokens : inputs.rows()));
  std::iota(inputs.logit_rows.begin(), inputs.logit_rows.end(), 0);
  decoder_->collect(decoder_->launch(inputs, {.near = pool_.as(), .pages = pages_.total_pages()}),
                    [](std::size_t, RowLogits&) {});
}

}  // namespace precis
