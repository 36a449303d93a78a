// How fast the host's memory is read and its cores multiply: what the host backends measure around their own loops.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "device/device.h"

namespace precis {

// One thread's loops, compiled for the instruction set of the backend's other loops. Both give a number that follows
// from all their work, so that no compiler can leave any of it out.
struct SpeedLoops {
  // The sum of `words` words, modulo 2^32.
  std::uint32_t (*sum)(const std::uint32_t* from, std::int64_t words);
  // `rounds` times x = x / 2 + 1 for every one of `chains` numbers in registers, enough of them to keep all units busy:
  // each is 2 after 40 rounds, wherever it began (below 2^16). Gives their sum.
  float (*multiply_add)(std::int64_t rounds);
  std::int64_t chains;
};

// Enough memory to read for what is in the caches not to matter.
std::int64_t uncached_bytes();

// The best of a few passes over `bytes` of memory, and of as many of `rounds` rounds, on all workers of `pool` at once.
DeviceSpeed measure_host(const SpeedLoops& loops, ThreadPool& pool, std::int64_t bytes, std::int64_t rounds);

// Bytes a second of some passes over `bytes` of memory together.
double measure_host_read(const SpeedLoops& loops, ThreadPool& pool, std::int64_t bytes);

// The same over memory of some times the caches' size.
double measure_host_read(const SpeedLoops& loops, ThreadPool& pool);

// The same as measure_host() with uncached_bytes() and rounds of some hundredths of a second.
DeviceSpeed measure_host(const SpeedLoops& loops, ThreadPool& pool);

}  // namespace precis
