#include "engine/engine_setup.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/checked.h"
#include "base/log.h"
#include "base/units.h"
#include "calibration/usual_costs.h"
#include "runtime/sampler.h"

namespace precis {
namespace {

void expect(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high) fail("{}: {}, expected an integer from {} to {}", name, value, low, high);
}

// The pages of a pool that takes `bytes` of a device's memory, which has room for one sequence with `peak`: near and
// far ones about as such sequences have them, and no more than `most_far` of these.
PageCounts pages_in(std::int64_t bytes, const KvGeometry& geometry, const PageCounts& peak, std::int64_t most_far) {
  PageCounts pages;
  if (peak.far > 0) {
    const std::int64_t bytes_a_far_page = (geometry.device_bytes(peak) + peak.far - 1) / peak.far;
    pages.far = std::clamp(bytes / bytes_a_far_page, peak.far, most_far);
  }
  pages.near = (bytes - geometry.device_bytes(pages)) / geometry.page_bytes();
  return pages;
}

}  // namespace

void validate(const EngineOptions& options) {
  expect("threads", options.threads, 0, 1024);
  expect("context", options.context, 0, most_tokens);
  expect("max_sequences", options.max_sequences, 1, most_parallel);
  expect("piece", options.piece, 1, 1 << 16);
  expect("kv_memory", options.kv_memory, 0, std::int64_t{1} << 50);
  expect("memory_budget", options.memory_budget, 0, std::int64_t{1} << 50);
  expect("page_entries", options.page_entries, 1, 4096);
  expect("prefix_cache_memory", options.prefix_cache_memory, 0, std::int64_t{1} << 50);
  expect("prefix_distance", options.prefix_distance, 0, most_tokens);
  expect("summary_delay", options.summary_delay, 0, 4096);
  expect("esa_initial", options.esa_initial, 0, most_tokens);
  expect("esa_local", options.esa_local, 0, most_tokens);
  expect("esa_top", options.esa_top, 1, most_tokens);
  expect("esa_proximity", options.esa_proximity, 0, 64);
  expect("esa_dim", options.esa_dim, 0, 1 << 16);
  if (options.esa != "off" && options.esa != "on" && options.esa != "auto") {
    fail("esa: '{}', expected on, off or auto", options.esa);
  }
  const double share = options.gpu_memory_utilization;
  if (!(share >= 0 && share <= 1)) {
    fail("gpu_memory_utilization: {:g}, expected a number above 0 and up to 1, or 0 (not used)", share);
  }
  if (share > 0 && options.kv_memory > 0) fail("gpu_memory_utilization: not with kv_memory, expected one of the two");
}

BackendOptions backend_options(const EngineOptions& options) {
  return {.threads = options.threads,
          .exact_activations = computes_exactly(options),
          .deterministic = options.deterministic};
}

bool computes_exactly(const EngineOptions& options) {
  if (options.compute == "bf16") return false;
  if (options.compute == "f32") return true;
  fail("compute: '{}', expected bf16 or f32", options.compute);
}

DType kv_type(const EngineOptions& options) {
  const DType own = computes_exactly(options) ? DType::f32 : DType::bf16;
  if (options.kv_cache_dtype == "auto") return own;
  if (options.kv_cache_dtype == "fp8") return DType::f8_e4m3;
  if (options.kv_cache_dtype == "bf16") return DType::bf16;
  if (options.kv_cache_dtype == "f32") return DType::f32;
  fail("kv_cache_dtype: '{}', expected auto, fp8, bf16 or f32", options.kv_cache_dtype);
}

bool rounds_frequencies(const EngineOptions& options) {
  if (options.rope_frequencies == "f32") return false;
  if (options.rope_frequencies == "bf16") return true;
  fail("rope_frequencies: '{}', expected f32 or bf16", options.rope_frequencies);
}

std::optional<WeightFormat> weight_format(const EngineOptions& options, const ModelSpec& spec) {
  if (options.weights.empty()) return std::nullopt;
  const auto wanted = quantized_format(options.weights);
  if (!wanted) fail("weights: '{}', expected q8, q6, q5, q4 or nothing (as stored)", options.weights);
  if (spec.quantized && *spec.quantized != *wanted) {
    fail("weights: '{}', but {} is quantized to {} already: expected that or nothing", options.weights,
         options.model.string(), name_of(*spec.quantized));
  }
  return wanted;
}

FormatChoice weight_choice(const EngineOptions& options, const ModelSpec& spec) {
  if (!options.bits) return {};
  check_bits(*options.bits, options.weights);
  if (spec.quantized) {
    fail("bits: {}, but {} is quantized already: expected none", *options.bits, options.model.string());
  }
  return usual_formats(spec, *options.bits);
}

std::optional<EsaRule> esa_rule(const EngineOptions& options, const ModelSpec& spec, std::int64_t dim) {
  EsaRule esa{.initial = options.esa_initial,
              .local = options.esa_local,
              .top = options.esa_top,
              .proximity = options.esa_proximity,
              .dim = dim};
  if (options.esa_positions == "fixed") {
    esa.positions = EsaPositions::fixed;
  } else if (options.esa_positions == "packed") {
    esa.positions = EsaPositions::packed;
  } else if (options.esa_positions != "absolute") {
    fail("esa_positions: '{}', expected absolute, fixed or packed", options.esa_positions);
  }
  if (options.esa_layers != "full" && options.esa_layers != "all") {
    fail("esa_layers: '{}', expected full or all", options.esa_layers);
  }
  esa.summaries = options.esa_layers == "all" && spec.chunk.any();
  if (esa.summaries && esa.positions == EsaPositions::fixed) {
    fail("esa_positions: 'fixed', expected absolute or packed where esa_layers is all");
  }
  const bool inner = spec.summary && spec.summary->text_positions == TextPositions::inner_chunk;
  if (inner && esa.positions != EsaPositions::absolute) {
    fail("esa_positions: '{}', expected absolute: this model's positions begin anew in each chunk",
         options.esa_positions);
  }
  const bool selects =
      std::ranges::any_of(spec.rules, [&](const LayerRule& rule) { return chosen_in(esa, rule) != Chosen::none; });
  return selects && wanted_context(options, spec) > esa.all() ? std::optional(esa) : std::nullopt;
}

std::int64_t wanted_context(const EngineOptions& options, const ModelSpec& spec) {
  return std::min(options.context > 0 ? options.context : spec.context, most_tokens);
}

SchedulerOptions scheduler_options(const EngineOptions& options) {
  return {.piece = options.piece,
          .max_sequences = options.max_sequences,
          .summary_delay = options.summary_delay,
          .prefix_cache = options.prefix_cache,
          .prefix_distance = options.prefix_distance};
}

PrefixBudget prefix_budget(const EngineOptions& options, const KvGeometry& geometry) {
  PrefixBudget budget{.near_page_bytes = geometry.page_bytes(),
                      .far_page_bytes = geometry.device_bytes({0, 1}) + geometry.far_page_bytes()};
  if (options.prefix_cache_memory > 0) budget.bytes = options.prefix_cache_memory;
  return budget;
}

KvGeometry kv_geometry(const EngineOptions& options, const ModelSpec& spec, const DeviceTraits& traits) {
  KvGeometry geometry = make_kv_geometry(spec.rule_of_layer, options.page_entries, spec.kv_heads, spec.head_dim,
                                         kv_type(options), spec.esa ? spec.esa->dim : 0);
  geometry.sides_apart = !traits.own_memory && !options.kv_offload;
  if (!options.kv_offload) return geometry;
  if (!spec.esa) {
    fail(
        "kv_offload: nothing is ever left out (esa): expected a model with layers of full attention and a context of "
        "more than esa_initial + esa_local + esa_top = {} tokens, not {}",
        options.esa_initial + options.esa_local + options.esa_top, wanted_context(options, spec));
  }
  bool any = false;
  for (KvGroup& group : geometry.groups) {
    if (chosen_in(*spec.esa, spec.rules[static_cast<std::size_t>(group.rule)]) != Chosen::texts) continue;
    group.text_pages = PageKind::far;
    any = true;
  }
  if (!any) fail("kv_offload: no layer of this model selects among text, expected one with layers of full attention");
  geometry.near_short = spec.esa->summaries;
  return geometry;
}

namespace {

PoolSize find_pool_size(const EngineOptions& options, const ModelSpec& spec, const KvGeometry& geometry,
                        const KvPlan& plan, std::int64_t kv_memory) {
  const std::int64_t context = wanted_context(options, spec);
  const PageCounts peak = plan.peak_pages(context, options.piece);
  const auto times = [](std::int64_t a, std::int64_t b) { return checked_mul(a, b, "KV pool"); };
  const PageCounts wanted{times(peak.near, options.max_sequences), times(peak.far, options.max_sequences)};
  if (kv_memory == 0) {
    checked_add(times(wanted.near, geometry.page_bytes()), times(wanted.far, geometry.far_page_bytes()), "KV pool");
    return {context, wanted};
  }
  const auto fits_in = [&](std::int64_t tokens) {
    return geometry.device_bytes(plan.peak_pages(tokens, options.piece)) <= kv_memory;
  };
  if (fits_in(context)) return {context, pages_in(kv_memory, geometry, peak, wanted.far)};
  std::int64_t fits = 0;
  for (std::int64_t above = context; above - fits > 1;) {
    const std::int64_t middle = fits + (above - fits) / 2;
    (fits_in(middle) ? fits : above) = middle;
  }
  if (options.context > 0 || fits == 0) {
    fail("context: {} tokens do not fit {} of KV memory; the largest context that fits is {}", context,
         shown_bytes(static_cast<double>(kv_memory)), fits);
  }
  log().warn("the context is {} tokens, of {} that the model was made for: more do not fit {} of KV memory", fits,
             context, shown_bytes(static_cast<double>(kv_memory)));
  return {fits, pages_in(kv_memory, geometry, plan.peak_pages(fits, options.piece), wanted.far)};
}

}  // namespace

PoolSize size_pool(const EngineOptions& options, const ModelSpec& spec, const KvGeometry& geometry, const KvPlan& plan,
                   std::int64_t kv_memory) {
  const PoolSize size = find_pool_size(options, spec, geometry, plan, kv_memory);
  if (!std::in_range<PageId>(size.pages.all())) {
    fail("KV pool: {} pages, expected at most {}: fewer sequences or larger pages (page_entries)", size.pages.all(),
         std::numeric_limits<PageId>::max());
  }
  return size;
}

SamplingOptions read_default_sampling(const std::optional<JsonView>& config) {
  SamplingOptions sampling;
  const auto do_sample = config ? config->find("do_sample") : std::nullopt;
  if (!do_sample || !do_sample->boolean()) {
    sampling.temperature = 0;
    return sampling;
  }
  const auto number = [&](const char* key, float& value) {
    if (const auto found = config->find(key)) value = static_cast<float>(found->number());
  };
  number("temperature", sampling.temperature);
  number("top_p", sampling.top_p);
  number("min_p", sampling.min_p);
  number("repetition_penalty", sampling.repetition_penalty);
  if (const auto found = config->find("top_k")) sampling.top_k = static_cast<int>(found->integer(0, 1 << 30));
  within("generation_config.json", [&] { validate(sampling, 1); });
  return sampling;
}

}  // namespace precis
