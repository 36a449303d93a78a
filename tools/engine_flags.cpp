#include "engine_flags.h"

#include <fmt/format.h>

#include <stdexcept>

namespace precis {

namespace {
constexpr std::int64_t kMaxTokens = std::int64_t{1} << 28;
}

void add_model_flag(Flags& flags, std::filesystem::path& target) {
  flags.path("-m,--model", "DIR", target, "folder of the model, in Hugging Face layout").required();
}

namespace {

void add_esa_flags(Flags& flags, EngineOptions& target) {
  flags.heading("Selective attention (docs/esa.md)");
  flags.text("--esa", "MODE", target.esa,
             "attend to the first, the last and the most important tokens of a long sequence: off (default), on, or\n"
             "auto: where the model's folder has esa.safetensors");
  flags.count("--esa-initial", "TOKENS", target.esa_initial, 0, kMaxTokens, "first tokens always seen (default 128)");
  flags.count("--esa-local", "TOKENS", target.esa_local, 0, kMaxTokens, "last tokens always seen (default 4096)");
  flags.count("--esa-topk", "TOKENS", target.esa_top, 1, kMaxTokens, "chosen of those between (default 2048)");
  flags.count("--esa-proximity", "TOKENS", target.esa_proximity, 0, 64,
              "a token counts as the most important of so many to either side (default 1)");
  flags.count("--esa-dim", "N", target.esa_dim, 0, 1 << 16, "numbers to choose by; 0: all that the file has");
  flags.text("--esa-positions", "SCHEME", target.esa_positions,
             "where far tokens are seen: absolute (default), or past the trained length packed or fixed");
  flags.text("--esa-layers", "LAYERS", target.esa_layers,
             "full (default), or all: summary layers too, among their summaries");
  flags.optional_path(
      "--kv-offload", "[FILE]", target.kv_offload,
      "with --esa: K and V of the layers that select among text lie in a new FILE, which is gone at the\n"
      "end: contexts larger than memory run (cpu); cuda, without FILE: in the host's pinned memory");
}

}  // namespace

void add_compute_flags(Flags& flags, EngineOptions& target) {
  flags.heading("Engine");
  flags.count("-c,--ctx-size,--max-model-len", "TOKENS", target.context, 0, kMaxTokens,
              "longest sequence, prompt and answer; 0: what the model was made for");
  flags.count("-t,--threads", "N", target.threads, 0, 1024,
              "threads of the cpu backend; 0: one a physical core (the numbers stay the same)");
  flags.text("--backend", "NAME", target.backend, "auto, cuda, cpu, or reference (scalar, slow, the oracle)");
  flags.text("--compute", "TYPE", target.compute, "bf16 (default), or f32: activations, K and V stay floats");
  flags.text("--kv-cache-dtype", "TYPE", target.kv_cache_dtype,
             "K and V kept as auto (default: as --compute says), fp8 (e4m3), bf16 or f32");
  flags.flag("--deterministic", target.deterministic,
             "cuda: the same bits alone, in any batch and however prompts are cut; slower (others are so anyway);\n"
             "with --esa, any backend: the same bits on a cached prefix too");
  flags.text("--weights", "FORMAT", target.weights,
             "quantize the weights when the model is opened: q8, q6, q5 or q4; default: as they are stored");
  flags.number("--bits", "N", target.bits, 4.5, 8.5,
               "with --weights q4: bits a weight, 4.5 to 8.5; more for matrices that four bits usually harm most");
  flags.text("--rope-frequencies", "TYPE", target.rope_frequencies,
             "f32 (default); bf16: rounded, to compare with models that were cast in Python");
  flags.count("-b,--piece,--batch-size,--max-num-batched-tokens", "TOKENS", target.piece, 1, 1 << 16,
              "prompt tokens computed in one step, at most (default 512)");
  add_esa_flags(flags, target);
}

void add_memory_flags(Flags& flags, EngineOptions& target, std::optional<int>& sequences) {
  flags.heading("Memory");
  flags.count("--parallel,--max-num-seqs", "N", sequences, 1, 4096,
              "sequences that run at once (default: as many as prompts, 16 at most); also -np");
  flags.bytes("--kv-cache-memory,--kv-cache-memory-bytes", "BYTES", target.kv_memory,
              "memory of the KV pool, such as 512M or 8G (powers of 1024);\n"
              "default: enough for --parallel sequences of --ctx-size tokens");
  flags.bytes("--memory-budget", "BYTES", target.memory_budget,
              "memory that all may take together, such as 24G; what does not fit is refused, and what would is said\n"
              "(default: what is free of the GPU's, or all of this machine's)");
  flags.number("--gpu-memory-utilization", "SHARE", target.gpu_memory_utilization, 0, 1,
               "share of the GPU's memory that weights, steps and KV pool take, such as 0.9 (cuda; default: unused)");
  flags.count("--page-size,--block-size", "ENTRIES", target.page_entries, 1, 4096, "KV entries a page (default 16)");
  flags.flag("--enable-prefix-caching", target.prefix_cache, "share the KV of equal beginnings (default)");
  flags.flag("--no-prefix-cache,--no-enable-prefix-caching", target.prefix_cache, false, "do not");
  flags.bytes("--prefix-cache-memory", "BYTES", target.prefix_cache_memory,
              "most that kept beginnings may hold, such as 512M (default: as much of the pool as is free)");
  flags.count("--prefix-distance", "TOKENS", target.prefix_distance, 0, kMaxTokens,
              "distance of the places of a prompt where a later one can set in (default 2048)");
  flags.count("--summary-delay", "CHUNKS", target.summary_delay, 0, 4096,
              "summaries that may be owed while decoding, then computed together (default 0)");
}

void expect_context(const std::string& what, std::int64_t length, std::int64_t asked, std::int64_t of_model) {
  if (length <= (asked > 0 ? asked : of_model)) return;
  const std::string limit = asked > 0 ? fmt::format("--ctx-size allows {}", asked)
                                      : fmt::format("the model's context has {} (--ctx-size allows more)", of_model);
  throw std::runtime_error(fmt::format("{}, {}", what, limit));
}

}  // namespace precis
