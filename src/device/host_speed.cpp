#include "device/host_speed.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>

#include "base/error.h"
#include "device/host_memory.h"

namespace precis {
namespace {

constexpr int passes = 6;
constexpr std::int64_t default_rounds = std::int64_t{1} << 24;

template <typename Work>
double seconds_of(const Work& work) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Seconds of the fastest of a few calls.
template <typename Work>
double fastest(const Work& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int pass = 0; pass < passes; ++pass) best = std::min(best, seconds_of(work));
  return best;
}

template <typename Work>
double average(const Work& work) {
  return seconds_of([&] {
           for (int pass = 0; pass < passes; ++pass) work();
         }) /
         passes;
}

// Words [0, words) in one part a worker: calls each(first, count).
template <typename Each>
void for_parts(ThreadPool& pool, std::int64_t words, const Each& each) {
  pool.run([&](int worker, int workers) {
    const std::int64_t first = words * worker / workers;
    each(first, words * (worker + 1) / workers - first);
  });
}

// `seconds(work)`: how long a pass takes.
template <typename Seconds>
double read_rate(const SpeedLoops& loops, ThreadPool& pool, std::int64_t bytes, const Seconds& seconds) {
  const std::int64_t words = bytes / static_cast<std::int64_t>(sizeof(std::uint32_t));
  const Buffer memory = allocate_host(bytes);
  auto* data = memory.as<std::uint32_t>();
  // Written first: memory that never was is one page of zeros, read again and again.
  std::atomic<std::uint32_t> expected = 0;
  for_parts(pool, words, [&](std::int64_t first, std::int64_t count) {
    std::uint32_t total = 0;
    for (std::int64_t i = first; i < first + count; ++i) total += data[i] = static_cast<std::uint32_t>(i) * 0x9e3779b1U;
    expected += total;
  });
  const double pass_seconds = seconds([&] {
    std::atomic<std::uint32_t> sum = 0;
    for_parts(pool, words, [&](std::int64_t first, std::int64_t count) { sum += loops.sum(data + first, count); });
    PRECIS_CHECK(sum == expected, "what was read adds up to {}, expected {}", sum.load(), expected.load());
  });
  return static_cast<double>(words * static_cast<std::int64_t>(sizeof(std::uint32_t))) / pass_seconds;
}

double multiply_rate(const SpeedLoops& loops, ThreadPool& pool, std::int64_t rounds) {
  constexpr float end = 2;  // of every chain
  const double seconds = fastest([&] {
    pool.run([&](int, int) {
      const float sum = loops.multiply_add(rounds);
      PRECIS_CHECK(sum == end * static_cast<float>(loops.chains), "the chains add up to {}", sum);
    });
  });
  return 2.0 * static_cast<double>(rounds * loops.chains * pool.workers()) / seconds;
}

// `least`, or more where the caches are large.
std::int64_t bytes_beyond_caches(std::int64_t least) {
  const std::int64_t caches = std::max<std::int64_t>(sysconf(_SC_LEVEL3_CACHE_SIZE), 0);
  return std::min(std::max(least, 4 * caches), installed_host_memory() / 4);
}

}  // namespace

std::int64_t uncached_bytes() {
  constexpr std::int64_t least = std::int64_t{1} << 30;
  return bytes_beyond_caches(least);
}

DeviceSpeed measure_host(const SpeedLoops& loops, ThreadPool& pool, std::int64_t bytes, std::int64_t rounds) {
  return {.read_bytes = read_rate(loops, pool, bytes, [](const auto& work) { return fastest(work); }),
          .flops = multiply_rate(loops, pool, rounds)};
}

DeviceSpeed measure_host(const SpeedLoops& loops, ThreadPool& pool) {
  return measure_host(loops, pool, uncached_bytes(), default_rounds);
}

double measure_host_read(const SpeedLoops& loops, ThreadPool& pool, std::int64_t bytes) {
  return read_rate(loops, pool, bytes, [](const auto& work) { return average(work); });
}

double measure_host_read(const SpeedLoops& loops, ThreadPool& pool) {
  constexpr std::int64_t least = std::int64_t{256} << 20;  // quickly allocated, too
  return measure_host_read(loops, pool, bytes_beyond_caches(least));
}

}  // namespace precis
