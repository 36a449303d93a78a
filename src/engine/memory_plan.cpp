#include "precis/memory_plan.h"

#include "backend/factory.h"
#include "engine/engine_plan.h"

namespace precis {

struct MemoryForecast::Parts {
  EngineOptions options;
  ModelFiles files;
  BackendForecast backend;
  ModelSpec spec;
};

MemoryForecast::MemoryForecast(const EngineOptions& options) {
  validate(options);
  ModelFiles files(options);
  ModelSpec spec = files.read_spec();
  const BackendForecast backend = forecast_backend(options.backend, backend_options(options));
  parts_ = std::make_unique<Parts>(Parts{options, std::move(files), backend, std::move(spec)});
}
MemoryForecast::~MemoryForecast() = default;

std::string MemoryForecast::backend() const {
  return std::string(parts_->backend.name);
}
std::string MemoryForecast::family() const {
  return parts_->spec.family;
}
std::int64_t MemoryForecast::model_context() const {
  return parts_->spec.context;
}

MemoryPlan MemoryForecast::at(std::int64_t context) const {
  EngineOptions options = parts_->options;
  options.context = context;
  validate(options);
  const EnginePlan plan(options, parts_->files, parts_->backend.traits);
  const PageCounts pages = plan.pool(0).pages;
  const DeviceNeeds& needs = plan.needs();
  const std::int64_t pool = plan.geometry().device_bytes(pages);
  const std::int64_t activations = needs.workspace + needs.scratch;
  MemoryPlan memory{.context = context,
                    .sequences = options.max_sequences,
                    .weight_bytes = needs.weights,
                    .weight_formats = {},
                    .activation_bytes = activations,
                    .pool_bytes = pool,
                    .overhead_bytes = plan.total(pages) - needs.weights - activations - pool,
                    .total_bytes = plan.total(pages),
                    .far_bytes = plan.geometry().far_bytes(pages),
                    .kv = plan.kv().report(context, nullptr)};
  for (const auto& [format, bytes] : parts_->files.weight_bytes(plan.spec()).by_format) {
    memory.weight_formats.emplace_back(name_of(format), bytes);
  }
  return memory;
}

KvReport MemoryForecast::kv(std::int64_t context, std::int64_t tokens) const {
  EngineOptions options = parts_->options;
  options.context = context;
  return EnginePlan(options, parts_->files, parts_->backend.traits).kv().report(tokens, nullptr);
}

std::int64_t MemoryForecast::largest_context(std::int64_t bytes) const {
  return precis::largest_context(parts_->options, parts_->files, parts_->backend.traits, {.budget = bytes},
                                 most_tokens);
}

std::int64_t MemoryForecast::most_sequences(std::int64_t bytes, std::int64_t context) const {
  EngineOptions options = parts_->options;
  options.context = context;
  return precis::most_sequences(options, parts_->files, parts_->backend.traits, {.budget = bytes}, most_parallel);
}

}  // namespace precis
