// What an engine is made of, worked out from config.json and the headers of tensor files before anything is loaded or
// allocated. Engines open by these numbers, and `precis memory` prints them.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>

#include "device/device_traits.h"
#include "engine/device_budget.h"
#include "engine/engine_setup.h"
#include "engine/model_files.h"
#include "kv/kv_geometry.h"
#include "memory/kv_plan.h"
#include "model/model_spec.h"
#include "model/workspace.h"
#include "precis/engine_options.h"
#include "runtime/scheduler.h"

namespace precis {

// Neither copied nor moved: its parts refer to each other.
class EnginePlan {
 public:
  // Throws Error that names the option or field when the model cannot be run so.
  EnginePlan(const EngineOptions& options, const ModelFiles& files, const DeviceTraits& traits);
  EnginePlan(const EnginePlan&) = delete;
  EnginePlan& operator=(const EnginePlan&) = delete;

  const EngineOptions& options() const { return options_; }
  const DeviceTraits& traits() const { return traits_; }
  const ModelSpec& spec() const { return spec_; }
  const KvGeometry& geometry() const { return geometry_; }
  const KvPlan& kv() const { return kv_; }
  // The prefix cache's budget is in it.
  const SchedulerOptions& scheduling() const { return scheduling_; }
  const StepLimits& limits() const { return limits_; }
  // Beside the KV pool.
  const DeviceNeeds& needs() const { return needs_; }

  // See size_pool() of engine_setup.h.
  PoolSize pool(std::int64_t kv_memory) const { return size_pool(options_, spec_, geometry_, kv_, kv_memory); }
  // With a pool of `pages`: what is allocated of a device's own memory, or of the host's,
  std::int64_t allocated(const PageCounts& pages) const { return needs_.all() + geometry_.device_bytes(pages); }
  // and what is held of it in all.
  std::int64_t total(const PageCounts& pages) const;

 private:
  EngineOptions options_;
  DeviceTraits traits_;
  ModelSpec spec_;
  KvGeometry geometry_;
  KvPlan kv_;
  SchedulerOptions scheduling_;
  StepLimits limits_;
  DeviceNeeds needs_;
};

// What an engine may take of its device's memory, or of the host's.
struct MemoryLimits {
  std::int64_t available = std::numeric_limits<std::int64_t>::max();  // to allocate
  std::int64_t budget = std::numeric_limits<std::int64_t>::max();     // in all

  bool hold(const EnginePlan& plan, const PageCounts& pages) const {
    return plan.allocated(pages) <= available && plan.total(pages) <= budget;
  }
};

// The largest context, up to `most`, that the limits hold; 0: none.
std::int64_t largest_context(const EngineOptions& options, const ModelFiles& files, const DeviceTraits& traits,
                             const MemoryLimits& limits, std::int64_t most);
// The largest number of sequences of the options' context, likewise.
std::int64_t most_sequences(const EngineOptions& options, const ModelFiles& files, const DeviceTraits& traits,
                            const MemoryLimits& limits, std::int64_t most);

// The plan that an engine opens by, and its pool. Where the context that the model was made for does not fit and no
// other was asked for, it is the largest that does, and a warning says so. Throws Error when what was asked for does
// not fit: what of each, of how much, and the largest context that fits. `memory`: of a device that has its own.
struct OpeningPlan {
  std::unique_ptr<const EnginePlan> plan;
  PoolSize pool;
  std::int64_t largest_context = 0;  // with which such an engine would open
};
OpeningPlan make_opening_plan(const EngineOptions& options, const ModelFiles& files, const DeviceTraits& traits,
                              const std::optional<DeviceMemory>& memory);

}  // namespace precis
