#include "engine/engine_setup.h"

#include <algorithm>

#include "base/checked.h"
#include "base/log.h"
#include "base/units.h"
#include "runtime/sampler.h"

namespace precis {
namespace {

// Entries are counted in 32 bits on devices, and up to 4 summaries may follow each token.
constexpr std::int64_t most_tokens = std::int64_t{1} << 28;

void expect(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high) fail("{}: {}, expected an integer from {} to {}", name, value, low, high);
}

}  // namespace

void validate(const EngineOptions& options) {
  expect("threads", options.threads, 0, 1024);
  expect("context", options.context, 0, most_tokens);
  expect("max_sequences", options.max_sequences, 1, 4096);
  expect("piece", options.piece, 1, 1 << 16);
  expect("kv_memory", options.kv_memory, 0, std::int64_t{1} << 50);
  expect("page_entries", options.page_entries, 1, 4096);
  expect("prefix_distance", options.prefix_distance, 0, most_tokens);
  expect("summary_delay", options.summary_delay, 0, 4096);
  const double share = options.gpu_memory_utilization;
  if (!(share >= 0 && share <= 1)) {
    fail("gpu_memory_utilization: {:g}, expected a number above 0 and up to 1, or 0 (not used)", share);
  }
  if (share > 0 && options.kv_memory > 0) fail("gpu_memory_utilization: not with kv_memory, expected one of the two");
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
  if (!wanted) fail("weights: '{}', expected q8, q4 or nothing (as stored)", options.weights);
  if (spec.quantized && *spec.quantized != *wanted) {
    fail("weights: '{}', but {} is quantized to {} already: expected that or nothing", options.weights,
         options.model.string(), name_of(*spec.quantized));
  }
  return wanted;
}

SchedulerOptions scheduler_options(const EngineOptions& options) {
  return {.piece = options.piece,
          .max_sequences = options.max_sequences,
          .summary_delay = options.summary_delay,
          .prefix_cache = options.prefix_cache,
          .prefix_distance = options.prefix_distance};
}

PoolSize size_pool(const EngineOptions& options, const ModelSpec& spec, const KvPlan& plan, std::int64_t page_bytes,
                   std::int64_t kv_memory) {
  std::int64_t context = std::min(options.context > 0 ? options.context : spec.context, most_tokens);
  if (kv_memory == 0) {
    const std::int64_t pages =
        checked_mul<std::int64_t>(plan.peak_pages(context, options.piece), options.max_sequences, "KV pool");
    checked_mul(pages, page_bytes, "KV pool");
    return {context, pages};
  }
  const std::int64_t pages = kv_memory / page_bytes;
  if (plan.peak_pages(context, options.piece) <= pages) return {context, pages};
  std::int64_t fits = 0;
  for (std::int64_t above = context; above - fits > 1;) {
    const std::int64_t middle = fits + (above - fits) / 2;
    (plan.peak_pages(middle, options.piece) <= pages ? fits : above) = middle;
  }
  if (options.context > 0 || fits == 0) {
    fail("context: {} tokens do not fit {} of KV memory; the largest context that fits is {}", context,
         shown_bytes(static_cast<double>(kv_memory)), fits);
  }
  log().warn("the context is {} tokens, of {} that the model was made for: more do not fit {} of KV memory", fits,
             context, shown_bytes(static_cast<double>(kv_memory)));
  return {fits, pages};
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
