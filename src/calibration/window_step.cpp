#include "calibration/window_step.h"

#include <utility>

namespace precis {

std::int64_t window_rows(const ModelSpec& spec, std::int64_t tokens) {
  return tokens + spec.chunk.complete(tokens) * spec.chunk.summary;
}

std::int64_t window_pages(const ModelSpec& spec, std::int64_t tokens) {
  const std::int64_t summaries = window_rows(spec, tokens) - tokens;
  return (tokens + window_page - 1) / window_page + (summaries + window_page - 1) / window_page;
}

WindowStep::WindowStep(const ModelSpec& spec, const KvGeometry& geometry, PagePool& pages,
                       std::vector<std::int32_t> ids)
    : sequence_{.ids = std::move(ids), .kv = SequenceKv(geometry, pages)} {
  const auto tokens = static_cast<std::int64_t>(sequence_.ids.size());
  StepItem item{.sequence = &sequence_, .texts = tokens, .summarised_to = spec.chunk.complete(tokens), .copies = {}};
  sequence_.kv.prepare({0, tokens, 0, item.summarised_to * spec.chunk.summary}, item.copies);
  step_ = build_step({&item, 1}, spec, geometry);
  step_.inputs.logit_rows.clear();
}

}  // namespace precis
