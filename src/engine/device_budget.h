// How a device's own memory is shared out, decided before anything large is loaded into it.
#pragma once

#include <cstdint>

#include "device/device.h"

namespace precis {

// Bytes that an engine takes beside its KV pool.
struct DeviceNeeds {
  std::int64_t weights = 0;
  std::int64_t mapped = 0;     // of these, in files that the system may drop from memory and read again
  std::int64_t workspace = 0;  // of steps, as the decoder allocates it
  std::int64_t scratch = 0;    // what operations may take for themselves, at most
  std::int64_t overhead = 0;   // of a device: Device::overhead(); on a host the program itself and its tokenizer

  // What is allocated.
  std::int64_t all() const { return weights - mapped + workspace + scratch; }
  // What is held in all.
  std::int64_t total() const { return all() + mapped + overhead; }
};

// Bytes for the pool so that the engine takes `share` of the memory in all. Throws Error when nothing is left for it.
std::int64_t pool_share(double share, const DeviceMemory& memory, const DeviceNeeds& needs);

}  // namespace precis
