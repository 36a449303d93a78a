// Options and files -> the numbers that an engine runs by.
#pragma once

#include <optional>

#include "backend/factory.h"
#include "base/json.h"
#include "memory/kv_plan.h"
#include "model/quantizer.h"
#include "precis/engine_options.h"
#include "precis/request.h"
#include "runtime/scheduler.h"

namespace precis {

// Of a context, and of one option that counts tokens. Entries are counted in 32 bits on devices, and up to 4 summaries
// may follow each token.
constexpr std::int64_t most_tokens = std::int64_t{1} << 28;
// Sequences at once.
constexpr std::int64_t most_parallel = 4096;

// Throws Error that names the option when a value is outside its range.
void validate(const EngineOptions& options);

BackendOptions backend_options(const EngineOptions& options);

// Whether activations stay floats. Throws Error when `compute` is unknown.
bool computes_exactly(const EngineOptions& options);

// Element type of K and V. Throws Error when `compute` or `kv_cache_dtype` is unknown.
DType kv_type(const EngineOptions& options);

// Whether rotary frequencies are rounded to bf16. Throws Error when `rope_frequencies` is unknown.
bool rounds_frequencies(const EngineOptions& options);

// The format that plain weights get at load; nothing: they stay as stored. Throws Error when `weights` is unknown, or
// another one than the checkpoint was quantized to.
std::optional<WeightFormat> weight_format(const EngineOptions& options, const ModelSpec& spec);

// Formats of all matrices where EngineOptions::bits says how many; else none. Throws Error when `bits` is out of range,
// or does not go with `weights` or the checkpoint.
FormatChoice weight_choice(const EngineOptions& options, const ModelSpec& spec);

// How layers select; nothing where no sequence of so many tokens as the engine takes could leave anything out. `dim`:
// of the short vectors. Throws Error when an option is unknown or does not go with the model.
std::optional<EsaRule> esa_rule(const EngineOptions& options, const ModelSpec& spec, std::int64_t dim);

// How K and V lie in pages. Throws Error where they are to be offloaded and no layer selects among text.
KvGeometry kv_geometry(const EngineOptions& options, const ModelSpec& spec, const DeviceTraits& traits);

SchedulerOptions scheduler_options(const EngineOptions& options);

// What the prefix cache may hold of a pool with these pages.
PrefixBudget prefix_budget(const EngineOptions& options, const KvGeometry& geometry);

// Text tokens that a sequence may have, as far as memory does not limit it.
std::int64_t wanted_context(const EngineOptions& options, const ModelSpec& spec);

// Text tokens that a sequence may have, and the pages of the pool, which takes `kv_memory` bytes of the device's own
// memory, or what the context and the number of sequences need where that is 0. There are never more far pages than
// these need. Throws Error that names the largest context that fits when the one asked for does not fit the memory
// asked for.
struct PoolSize {
  std::int64_t context;
  PageCounts pages;
};
PoolSize size_pool(const EngineOptions& options, const ModelSpec& spec, const KvGeometry& geometry, const KvPlan& plan,
                   std::int64_t kv_memory);

// Sampling as generation_config.json says; greedy without it or without do_sample.
SamplingOptions read_default_sampling(const std::optional<JsonView>& generation_config);

}  // namespace precis
