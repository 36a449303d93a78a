// What the machine itself can do, to hold the other figures against: reading memory, and multiplying and adding.
#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "bench_case.h"

namespace precis::bench {
namespace {

constexpr int chains = 12;  // enough to hide the latency

template <int bytes>
[[gnu::always_inline]] inline std::uint64_t read_vectors(const std::byte* from, std::int64_t count) {
  typedef std::uint64_t Vector __attribute__((vector_size(bytes)));
  constexpr int unrolled = 8;
  constexpr std::int64_t ahead = 2048;
  Vector seen[unrolled] = {};
  for (std::int64_t i = 0; i + unrolled * bytes <= count; i += unrolled * bytes) {
    for (int part = 0; part < unrolled; ++part) {
      Vector one;
      __builtin_memcpy(&one, from + i + part * bytes, bytes);
      seen[part] |= one;
      if (part * bytes % 64 == 0) __builtin_prefetch(from + std::min(i + part * bytes + ahead, count - 1));
    }
  }
  for (int part = 1; part < unrolled; ++part) seen[0] |= seen[part];
  std::uint64_t some;
  __builtin_memcpy(&some, seen, sizeof some);
  return some;
}

template <int bytes>
[[gnu::always_inline]] inline float multiply_and_add_vectors(std::int64_t rounds) {
  typedef float Vector __attribute__((vector_size(bytes)));
  Vector sum[chains];
  for (int chain = 0; chain < chains; ++chain) sum[chain] = static_cast<float>(rounds + chain) - Vector{};
  const Vector factor = 0.5F - Vector{};
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int chain = 0; chain < chains; ++chain) sum[chain] = sum[chain] * factor + factor;
  }
#pragma GCC unroll 12
  for (int chain = 1; chain < chains; ++chain) sum[0] += sum[chain];
  float some;
  __builtin_memcpy(&some, sum, sizeof some);
  return some;
}

#if defined(__x86_64__)
__attribute__((target("arch=x86-64-v4"))) std::uint64_t read_512(const std::byte* from, std::int64_t count) {
  return read_vectors<64>(from, count);
}
__attribute__((target("arch=x86-64-v3"))) std::uint64_t read_256(const std::byte* from, std::int64_t count) {
  return read_vectors<32>(from, count);
}
__attribute__((target("arch=x86-64-v4"))) float fma_512(std::int64_t rounds) {
  return multiply_and_add_vectors<64>(rounds);
}
__attribute__((target("arch=x86-64-v3"))) float fma_256(std::int64_t rounds) {
  return multiply_and_add_vectors<32>(rounds);
}
#endif

// Bytes of the widest vectors here.
int widest() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("x86-64-v4")) return 64;
  if (__builtin_cpu_supports("x86-64-v3")) return 32;
#endif
  return 16;
}

std::uint64_t read_all(const std::byte* from, std::int64_t count) {
#if defined(__x86_64__)
  if (widest() == 64) return read_512(from, count);
  if (widest() == 32) return read_256(from, count);
#endif
  return read_vectors<16>(from, count);
}

float multiply_and_add(std::int64_t rounds) {
#if defined(__x86_64__)
  if (widest() == 64) return fma_512(rounds);
  if (widest() == 32) return fma_256(rounds);
#endif
  return multiply_and_add_vectors<16>(rounds);
}

// Workers as many as the backend has by default.
struct Machine {
  explicit Machine(std::int64_t size) : bytes(static_cast<std::size_t>(size), std::byte{1}) {}

  ThreadPool pool;
  std::vector<std::byte> bytes;
  std::atomic<std::uint64_t> kept = 0;  // so that the work is not optimised away
};

}  // namespace

std::vector<Case> machine_cases() {
  std::vector<Case> cases;
  cases.push_back({"machine/read", [](Device&) {
                     constexpr std::int64_t bytes = std::int64_t{64} << 20;
                     const auto machine = std::make_shared<Machine>(bytes);
                     return Work{static_cast<double>(bytes), 0, [machine] {
                                   machine->pool.run([&](int worker, int workers) {
                                     const auto share = static_cast<std::int64_t>(machine->bytes.size()) / workers;
                                     machine->kept = read_all(machine->bytes.data() + worker * share, share);
                                   });
                                 }};
                   }});
  cases.push_back({"machine/fma", [](Device&) {
                     constexpr std::int64_t rounds = 1 << 16;
                     const auto machine = std::make_shared<Machine>(0);
                     const double flops = 2.0 * widest() / 4 * chains * rounds * machine->pool.workers();
                     return Work{
                         0, flops, [machine] {
                           machine->pool.run([&](int, int) { machine->kept = multiply_and_add(rounds) != 0 ? 1 : 0; });
                         }};
                   }});
  return cases;
}

}  // namespace precis::bench
