// What a context costs in memory, before anything is loaded: the numbers that an engine opens by.
//
// Everything here throws std::runtime_error with one line that names file, field or value and what was expected.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "precis/engine_options.h"
#include "precis/memory_report.h"

namespace precis {

// Of a GPU's own memory; on a host's backends of the process.
struct MemoryPlan {
  std::int64_t context = 0;    // text tokens of each sequence
  std::int64_t sequences = 0;  // at once

  std::int64_t weight_bytes = 0;                                     // with what layers select by
  std::vector<std::pair<std::string, std::int64_t>> weight_formats;  // the same by format
  std::int64_t activation_bytes = 0;                                 // a step's rows, and what operations take
  // The KV pool: what all sequences hold at most on their way to the context, page rounding included.
  std::int64_t pool_bytes = 0;
  std::int64_t overhead_bytes = 0;  // a GPU's driver; on a host the program, its tokenizer, and rounding to huge pages
  std::int64_t total_bytes = 0;     // of all of these

  std::int64_t far_bytes = 0;  // beside them: the pool's part in far memory (EngineOptions::kv_offload)
  KvReport kv;                 // of one sequence at the context, between steps
};

// Reads config.json and the headers of tensor files once, and touches no GPU.
class MemoryForecast {
 public:
  // EngineOptions::backend "auto" is cuda where this program has it and the machine an NVIDIA driver.
  explicit MemoryForecast(const EngineOptions& options);
  ~MemoryForecast();
  MemoryForecast(const MemoryForecast&) = delete;
  MemoryForecast& operator=(const MemoryForecast&) = delete;

  // "cuda" or "cpu"
  std::string backend() const;
  std::string family() const;
  // Text tokens that the model was made for.
  std::int64_t model_context() const;

  // With EngineOptions::max_sequences sequences of `context` tokens, which options may otherwise leave open.
  MemoryPlan at(std::int64_t context) const;
  // What one sequence of an engine of such a context holds at `tokens`, between steps.
  KvReport kv(std::int64_t context, std::int64_t tokens) const;
  // The largest context with which `bytes` suffice for all, and that EngineOptions::memory_budget of as many accepts;
  // 0: none.
  std::int64_t largest_context(std::int64_t bytes) const;
  // The largest number of sequences of `context` tokens likewise.
  std::int64_t most_sequences(std::int64_t bytes, std::int64_t context) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace precis
