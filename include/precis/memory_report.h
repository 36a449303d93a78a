// What memory is held, by kind, beside what the model's formula says.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace precis {

// One kind of KV entries of one sequence, summed over the layers that hold it. One entry is K and V of one token in one
// layer.
struct KvKind {
  std::string name;  // "text in full layers", "text in windows", "summaries"
  std::int64_t layers = 0;
  std::int64_t entries = 0;       // that the formula says are held at this length (KSA.md, "What must be kept")
  std::int64_t held_entries = 0;  // that the page tables hold, page rounding included
  std::int64_t entry_bytes = 0;
  std::int64_t short_bytes = 0;  // of these: the short vectors that layers select by
  bool far = false;              // K and V lie in far memory, short vectors do not
};

struct KvReport {
  std::int64_t tokens = 0;  // text tokens computed
  std::vector<KvKind> kinds;
  std::int64_t formula_bytes = 0;
  std::int64_t held_bytes = 0;    // whole pages: of both kinds
  std::int64_t device_bytes = 0;  // of these, in the device's own memory
  std::int64_t far_bytes = 0;     // of these, in far memory (EngineOptions::kv_offload)
  std::int64_t full_bytes = 0;    // the same model with full attention in every layer
  std::int64_t page_bytes = 0;    // of a page in the device's own memory
  std::int64_t page_entries = 0;
};

struct MemoryReport {
  std::int64_t weight_bytes = 0;
  std::vector<std::pair<std::string, std::int64_t>> weight_formats;  // the same by format: "q8", bytes with scales
  std::int64_t workspace_bytes = 0;                                  // activations of a step
  // The KV pool's size in the device's own memory, short vectors of far pages included; a CPU's memory is taken as
  // pages are first used.
  std::int64_t pool_bytes = 0;
  std::int64_t page_bytes = 0;
  std::int64_t pages = 0;
  std::int64_t pages_used = 0;  // by running sequences and the prefix cache; shared pages count once
  // The same of the pages whose K and V lie in far memory; all 0 without EngineOptions::kv_offload.
  std::int64_t far_bytes = 0;
  std::int64_t far_page_bytes = 0;
  std::int64_t far_pages = 0;
  std::int64_t far_pages_used = 0;
  std::int64_t cached_prefixes = 0;  // places where a later request can set in
  std::int64_t cached_bytes = 0;     // of the pages that these keep, of both kinds; shared pages count once

  // With which an engine of otherwise the same options would open on the memory that there was when this one did.
  std::int64_t largest_context = 0;

  // Since the engine was opened.
  std::int64_t prefix_hits = 0;       // how often a request set in on a cached prefix, also after a preemption
  std::int64_t prefix_tokens = 0;     // of these: tokens that were not computed again
  std::int64_t prefix_evictions = 0;  // cached prefixes that left because their room was needed
  std::int64_t preemptions = 0;       // how often a running request gave its pages back, to be computed again
};

// Of a device's own memory, by all who use it.
struct DeviceUse {
  std::int64_t total_bytes = 0;
  std::int64_t used_bytes = 0;  // just now
};

}  // namespace precis
