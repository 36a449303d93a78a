#include "calibration/model_runner.h"

#include "base/checked.h"

namespace precis {

ModelRunner::ModelRunner(const ModelSpec& spec, const Weights& weights, Device& device, std::int64_t tokens)
    : spec_(spec),
      geometry_(make_kv_geometry(spec.rule_of_layer, window_page, spec.kv_heads, spec.head_dim, DType::f32)),
      pages_(static_cast<std::int64_t>(geometry_.groups.size()) * window_pages(spec, tokens)),
      pool_(device.allocate(geometry_.device_bytes(pages_.total_pages()))),
      decoder_(spec, weights, geometry_, device, StepLimits{.rows = window_rows(spec, tokens)}) {}

void ModelRunner::run(std::span<const std::int32_t> ids, std::int64_t distance, const LogitsSink& sink) {
  WindowStep step(spec_, geometry_, pages_, {ids.begin(), ids.end()});
  for (std::int64_t row = distance - 1; row < static_cast<std::int64_t>(ids.size()); row += distance) {
    step.inputs().logit_rows.push_back(narrow<std::int32_t>(row));
  }
  decoder_.collect(decoder_.launch(step.inputs(), {.near = pool_.as(), .pages = pages_.total_pages()}), sink);
}

}  // namespace precis
