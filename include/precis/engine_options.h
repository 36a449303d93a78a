// How an engine is opened. Every field: its default, its unit and what follows from it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace precis {

struct EngineOptions {
  // Folder of a checkpoint in Hugging Face layout; with dummy_weights a config.json or a folder that has one. Required.
  std::filesystem::path model;

  // Run the geometry that config.json describes on random weights, to know the speed and memory of a model whose
  // checkpoint is not there. No tensor, tokenizer or generation_config.json is read: requests are ids, answers mean
  // nothing. Matrices have the type that config.json names (f32 where it names none) and take as much memory as the
  // model's own.
  bool dummy_weights = false;

  // With dummy_weights: the same seed gives the same weights, and so the same logits, on every machine.
  std::uint64_t dummy_seed = 0;

  // Who computes: "auto" (the fastest that this machine has), "cuda" (an NVIDIA GPU), "cpu", or "reference" (scalar,
  // slow, the oracle).
  std::string backend = "auto";

  // Threads of the cpu backend. 0: one a physical core that this process may use. Results do not depend on it.
  int threads = 0;

  // "bf16": K and V are kept as bf16, half the memory, and activations may be rounded to 16 bits where they meet
  // weights. "f32": K, V and activations are floats. Products accumulate in float either way.
  std::string compute = "bf16";

  // What K and V are kept as, where it is not what `compute` says ("auto"): "f32", "bf16", or "fp8", a byte each: e4m3,
  // rounded to nearest, without scales (numbers beyond 448 become 448). docs/quantization.md says what that costs.
  std::string kv_cache_dtype = "auto";

  // A request's tokens and logits are the same bits alone and beside any others, whatever `piece` is, on a cached
  // prefix, preempted or not. On cpu and reference that is so anyway, and this changes nothing; cuda computes rows in
  // another way, which is slower for prompts and for several sequences (docs/architecture.md, "On a GPU"). Where layers
  // select (`esa`), `piece` and `prefix_distance` are part of what is computed, and preempted or on a cached prefix the
  // bits are the same on any backend only with this.
  bool deterministic = false;

  // Format of the weights: "" (as the checkpoint stores them), or "q8", "q6", "q5" or "q4": matrices are quantized when
  // the checkpoint is opened, and only the quantized ones stay in memory (8.5, 6.5, 5.5 or 4.5 bits a weight for most).
  // docs/quantization.md says what that costs. The numbers are those of a checkpoint that `precis quantize` writes.
  std::string weights;

  // With "q4": so many bits a weight, scales included, as the average of all matrices, at most; 4.5 to 8.5. What is
  // more than four goes to the matrices of those roles that four bits usually harm most. None: formats by role. `precis
  // quantize --calibrate` measures it instead. A checkpoint that is quantized already has its formats.
  std::optional<double> bits;

  // "f32": rotary frequencies are floats, as in training and in a model that transformers loads in any type. "bf16":
  // they are rounded to bf16, as transformers computes after `model.to(torch.bfloat16)` (also when cast back to float).
  // Only for comparing with numbers that were made so: it turns far positions by whole radians.
  std::string rope_frequencies = "f32";

  // Longest sequence (prompt and answer), in text tokens. 0: what the model was made for.
  std::int64_t context = 0;

  // Sequences that run at once. More requests wait. KV memory is reserved for so many unless kv_memory says otherwise.
  int max_sequences = 1;

  // Text tokens of prompts computed in one step, at most. Larger is faster to a point, and delays the sequences that
  // decode meanwhile by as much; a step's temporary memory grows with it.
  int piece = 512;

  // Bytes of the device's own memory for the KV pool. 0: enough for max_sequences of `context` tokens. With less,
  // sequences that do not fit together are preempted and recomputed; a request that could not run alone is refused.
  std::int64_t kv_memory = 0;

  // The share of the GPU's memory, above 0 and up to 1, that weights, steps and the KV pool take together: the pool
  // gets what the others leave. 0: the pool is as kv_memory says. An error on a backend that has no memory of its own,
  // and together with kv_memory.
  double gpu_memory_utilization = 0;

  // Bytes that weights, steps, the KV pool, and what a GPU's driver keeps for itself may take together (on a host
  // without the weights that stay in their files). A context that does not fit is refused, with the largest that does.
  // 0: what is free of the GPU's memory, or what this process may have of the host's.
  std::int64_t memory_budget = 0;

  // Entries a page. Small pages round less memory up; large pages are read faster.
  int page_entries = 16;

  // Keep the pages of ended and running requests for later ones that begin alike. They fill what memory of the pool is
  // free, and leave it, the longest unused first, when it is needed.
  bool prefix_cache = true;

  // Bytes that kept pages may take, in the device's own and in far memory together, also of those that running requests
  // use at the same time. Beyond it those that were not used for longest leave. 0: as many as the pool has.
  std::int64_t prefix_cache_memory = 0;

  // Distance in text tokens between the places of a prompt where a later request can set in when the model has windows
  // (KSA, sliding windows): each keeps its window's pages. 0: only at the ends of prompts and answers.
  int prefix_distance = 2048;

  // Complete chunks whose summaries may be owed while decoding (KSA): they are then computed together. 0: each chunk's
  // in the step of its last token. The numbers are the same. Never more than the window allows.
  int summary_delay = 0;

  // Efficient selective attention (docs/esa.md): in a sequence longer than esa_initial + esa_local + esa_top tokens, a
  // token attends to the first, the last, and the esa_top most important of those between, chosen by short vectors that
  // `precis calibrate` fits. "off"; "on": an error for a model without esa.safetensors; "auto": where the folder has
  // one and the backend can. With dummy_weights the short vectors are random.
  std::string esa = "off";
  std::int64_t esa_initial = 128;
  std::int64_t esa_local = 4096;
  std::int64_t esa_top = 2048;

  // A token counts as the most important within so many of it, to either side. 0 to 64.
  std::int64_t esa_proximity = 1;

  // Numbers of a short vector: the first rows of the file's projections. 0: all that it has.
  std::int64_t esa_dim = 0;

  // Where the first and the chosen tokens are seen: "absolute", where they are; "fixed", all at one distance of
  // esa_local; "packed", one after the other directly before the last ones. The latter two go past what a model was
  // trained for.
  std::string esa_positions = "absolute";

  // "full": layers of full attention; "all": layers with summaries too, which choose among these (and count them).
  std::string esa_layers = "full";

  // K and V of text in the layers that select among it lie in far memory, and what was chosen is read there
  // (docs/esa.md, "Where K and V may live"); short vectors, and K and V of all other layers, stay in the device's own
  // memory, which kv_memory then counts. A path: a new file (no file of that name, or an empty one), which grows to all
  // K and V and is gone at the end: for the host's backends, whose contexts may then be larger than memory. An empty
  // path: pinned memory of the host, for cuda. Needs esa. The numbers are the same.
  std::optional<std::filesystem::path> kv_offload;
};

}  // namespace precis
