// A context run for real, to see what it takes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "precis/engine_options.h"
#include "precis/memory_report.h"

namespace precis {

struct MeasuredMemory {
  std::string device;                   // in words
  std::int64_t predicted_kv_bytes = 0;  // of all sequences, at as many tokens as they had in the end
  MemoryReport ledger;                  // what the engine has counted, with all sequences at the context
  KvReport kv;                          // of one sequence
  // K and V of all sequences. Never mixed: entries that later tokens can see; pages that hold them; the pool.
  std::int64_t active_bytes = 0;
  std::int64_t allocated_bytes = 0;
  std::int64_t reserved_bytes = 0;
  std::int64_t process_bytes = 0;       // the largest resident size
  std::optional<DeviceUse> device_use;  // at the end

  // What a plan's total is held against, and, where it is the process's, a plan's far memory with it: of a mapped file
  // what was written last stays in memory as long as there is room.
  std::int64_t total_bytes() const { return device_use ? device_use->used_bytes : process_bytes; }
};

// Opens an engine with these options in a process of its own, where nothing else counts, lets all its sequences come to
// `context` tokens of random ids, and asks. Throws RunFailure when that process fails, in whatever way. To be called
// while this process has one thread.
MeasuredMemory measure_memory(const EngineOptions& options, std::int64_t context);

}  // namespace precis
