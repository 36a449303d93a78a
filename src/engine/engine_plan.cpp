#include "engine/engine_plan.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/error.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "base/units.h"
#include "device/host_arena.h"
#include "device/host_memory.h"
#include "engine/scratch_plan.h"

namespace precis {
namespace {

// What a process that runs this program holds before it opens a model.
constexpr std::int64_t program_bytes = 8'300'000;

std::string shown(std::int64_t bytes) {
  return shown_bytes(static_cast<double>(bytes));
}

ModelSpec spec_of(const EngineOptions& options, const ModelFiles& files, const DeviceTraits& traits) {
  ModelSpec spec = files.read_spec();
  files.choose_esa(options, spec, traits.selects);
  return spec;
}

SchedulerOptions scheduling_of(const EngineOptions& options, const DeviceTraits& traits, const ModelSpec& spec,
                               const KvGeometry& geometry) {
  SchedulerOptions scheduling = scheduler_options(options);
  // Where layers select, what a row computes depends on the piece that it is part of, on any device.
  scheduling.deterministic = traits.goes_by_decoded || (options.deterministic && spec.esa);
  scheduling.prefix_budget = prefix_budget(options, geometry);
  return scheduling;
}

bool has_quantized(const WeightBytes& weights) {
  return std::ranges::any_of(weights.by_format, [](const auto& of) { return is_quantized(of.first); });
}

DeviceNeeds device_needs_of(const EnginePlan& plan, const WeightBytes& weights) {
  const ScratchTraits traits{.exact = computes_exactly(plan.options()),
                             .deterministic = plan.options().deterministic,
                             .quantized = has_quantized(weights)};
  const StepLimits& limits = plan.limits();
  std::vector<GroupPages> tables;
  for (std::size_t group = 0; group < plan.geometry().groups.size(); ++group) {
    tables.push_back(plan.kv().peak_pages_of(group, limits.positions, plan.scheduling().piece));
  }
  return {.weights = weights.all,
          .workspace = workspace_bytes(plan.spec(), plan.geometry(), plan.traits().runs_asynchronously, limits),
          .scratch = scratch_bytes(plan.spec(), plan.geometry(), tables, traits, limits),
          .overhead = plan.traits().device_overhead};
}

DeviceNeeds needs_of(const EnginePlan& plan, const ModelFiles& files) {
  const ModelSpec& spec = plan.spec();
  const std::int64_t rows = plan.limits().rows;
  const WeightBytes weights = files.weight_bytes(spec);
  if (plan.traits().own_memory) return device_needs_of(plan, weights);
  const std::int64_t made = weights.all - weights.mapped;
  const HostScratch scratch{.exact = computes_exactly(plan.options()),
                            .quantized = has_quantized(weights),
                            .workers = plan.options().threads > 0 ? plan.options().threads : available_cores()};
  return {.weights = weights.all,
          .mapped = weights.mapped,
          .workspace = held_workspace_bytes(spec, plan.geometry(), plan.limits()),
          .scratch = host_scratch_bytes(spec, scratch, rows),
          .overhead = program_bytes + files.text_bytes() + held_host_bytes(HostArena::mapping_bytes, made) - made};
}

// The largest number from `low` to `most` that fits, which all smaller ones then do; 0: not even `low` does.
std::int64_t largest_that_fits(std::int64_t low, std::int64_t most, const std::function<bool(std::int64_t)>& fits) {
  if (low > most || !fits(low)) return 0;
  if (fits(most)) return most;
  std::int64_t fitting = low;
  for (std::int64_t above = most; above - fitting > 1;) {
    const std::int64_t middle = fitting + (above - fitting) / 2;
    (fits(middle) ? fitting : above) = middle;
  }
  return fitting;
}

bool hold(const MemoryLimits& limits, const EngineOptions& options, const ModelFiles& files,
          const DeviceTraits& traits) {
  try {
    const EnginePlan plan(options, files, traits);
    return limits.hold(plan, plan.pool(0).pages);
  } catch (const Error&) {  // more than can be counted
    return false;
  }
}

MemoryLimits limits_of(const EngineOptions& options, const std::optional<DeviceMemory>& memory) {
  MemoryLimits limits{.available = memory ? memory->free : host_memory_limit()};
  if (options.memory_budget > 0) limits.budget = options.memory_budget;
  return limits;
}

// The one that does not hold this, in words.
std::string name_of_limit(const MemoryLimits& limits, const EnginePlan& plan, const PoolSize& pool,
                          const std::optional<DeviceMemory>& memory) {
  if (plan.total(pool.pages) > limits.budget) {
    return fmt::format("the memory_budget of {} (--memory-budget)", shown(limits.budget));
  }
  if (memory) {
    return fmt::format("the {} that are free of the GPU's {}", shown(memory->free), shown(memory->total));
  }
  return fmt::format("the {} of this {}", shown(limits.available),
                     limits.available < installed_host_memory() ? "process's control group" : "machine");
}

// Bytes for the KV pool, as size_pool() takes them.
std::int64_t kv_memory(const EnginePlan& plan, const std::optional<DeviceMemory>& memory) {
  const EngineOptions& options = plan.options();
  if (options.gpu_memory_utilization == 0) return options.kv_memory;
  if (!memory) fail("gpu_memory_utilization: this backend has no memory of its own, expected the cuda backend");
  return pool_share(options.gpu_memory_utilization, *memory, plan.needs());
}

// "weights 8.05 GB, KV pool 19.3 GB, steps 212 MB, overhead 560 MB"
std::string shown_parts(const EnginePlan& plan, const PoolSize& pool) {
  const DeviceNeeds& needs = plan.needs();
  return fmt::format("weights {}, KV pool {}, steps {}, overhead {}", shown(needs.weights),
                     shown(plan.geometry().device_bytes(pool.pages)), shown(needs.workspace + needs.scratch),
                     shown(needs.overhead));
}

[[noreturn]] void refuse(const EnginePlan& plan, const PoolSize& pool, const std::string& limit, std::int64_t largest) {
  const EngineOptions& options = plan.options();
  const std::string parts = shown_parts(plan, pool);
  if (options.kv_memory > 0 || options.gpu_memory_utilization > 0) {
    fail(
        "memory: {} do not fit {}: expected a smaller kv_memory (--kv-cache-memory, --gpu-memory-utilization), context "
        "(--ctx-size), max_sequences (--parallel) or piece, or quantized weights (--weights)",
        parts, limit);
  }
  if (largest == 0) {
    fail(
        "memory: {} do not fit {}, nor does any context (--ctx-size): expected a smaller model or quantized weights "
        "(--weights)",
        parts, limit);
  }
  const std::string sequences =
      options.max_sequences > 1 ? fmt::format(" for each of {} sequences", options.max_sequences) : "";
  fail(
      "context: {} tokens{} ({}) do not fit {}: the largest context that fits is {} (--ctx-size); or expected fewer "
      "sequences (--parallel) or quantized weights (--weights)",
      pool.context, sequences, parts, limit, largest);
}

}  // namespace

std::int64_t EnginePlan::total(const PageCounts& pages) const {
  const std::int64_t pool = geometry_.device_bytes(pages);
  return needs_.total() + (traits_.own_memory ? pool : held_host_bytes(pool));
}

EnginePlan::EnginePlan(const EngineOptions& options, const ModelFiles& files, const DeviceTraits& traits)
    : options_(options),
      traits_(traits),
      spec_(spec_of(options, files, traits)),
      geometry_(kv_geometry(options, spec_, traits_)),
      kv_(spec_, geometry_, options.summary_delay),
      scheduling_(scheduling_of(options, traits, spec_, geometry_)),
      limits_{max_step_rows(scheduling_, spec_.chunk), options.max_sequences, wanted_context(options, spec_)},
      needs_(needs_of(*this, files)) {}

std::int64_t largest_context(const EngineOptions& options, const ModelFiles& files, const DeviceTraits& traits,
                             const MemoryLimits& limits, std::int64_t most) {
  EngineOptions tried = options;
  // With less nothing is left out, and so nothing can be offloaded.
  const std::int64_t low = options.kv_offload ? options.esa_initial + options.esa_local + options.esa_top + 1 : 1;
  return largest_that_fits(low, most, [&](std::int64_t context) {
    tried.context = context;
    return hold(limits, tried, files, traits);
  });
}

std::int64_t most_sequences(const EngineOptions& options, const ModelFiles& files, const DeviceTraits& traits,
                            const MemoryLimits& limits, std::int64_t most) {
  EngineOptions tried = options;
  return largest_that_fits(1, most, [&](std::int64_t sequences) {
    tried.max_sequences = narrow<int>(sequences);
    return hold(limits, tried, files, traits);
  });
}

OpeningPlan make_opening_plan(const EngineOptions& options, const ModelFiles& files, const DeviceTraits& traits,
                              const std::optional<DeviceMemory>& memory) {
  auto plan = std::make_unique<const EnginePlan>(options, files, traits);
  const PoolSize pool = plan->pool(kv_memory(*plan, memory));
  const MemoryLimits limits = limits_of(options, memory);
  const bool fits = limits.hold(*plan, pool.pages);
  const std::int64_t most = fits ? most_tokens : pool.context;
  const std::int64_t largest = largest_context(options, files, traits, limits, most);
  if (fits) return {std::move(plan), pool, std::max(largest, pool.context)};

  const std::string limit = name_of_limit(limits, *plan, pool, memory);
  const bool fixed = options.context > 0 || options.kv_memory > 0 || options.gpu_memory_utilization > 0;
  if (fixed || largest == 0) refuse(*plan, pool, limit, largest);
  log().warn("the context is {} tokens, of {} that the model was made for: more do not fit {}", largest, pool.context,
             limit);
  EngineOptions smaller = options;
  smaller.context = largest;
  plan = std::make_unique<const EnginePlan>(smaller, files, traits);
  const PoolSize smaller_pool = plan->pool(0);
  return {std::move(plan), smaller_pool, largest};
}

}  // namespace precis
