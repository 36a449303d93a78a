#include "base/thread_pool.h"

#include <sched.h>

#include <chrono>
#include <fstream>
#include <set>
#include <string>
#include <system_error>

#include "base/error.h"

namespace precis {
namespace {

using Clock = std::chrono::steady_clock;

// Longer than the serial stretches between two operations of a step, shorter than what a neighbour would notice.
constexpr std::chrono::microseconds spin_time{60};
// Polls without giving the core away: about 2 us. Beyond that somebody else may need this very core to make progress.
constexpr int eager_polls = 64;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Waits until `value` is no longer `old`, and returns what it is now.
std::uint32_t await_change(const std::atomic<std::uint32_t>& value, std::uint32_t old,
                           const ThreadPool::Pastime& pastime, int worker) {
  bool idles = pastime.call == nullptr;
  for (int bit = 0; !idles; ++bit) {
    const std::uint32_t now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    idles = !pastime.call(pastime.closure, worker, bit);
  }
  for (int poll = 0; poll < eager_polls; ++poll) {
    const std::uint32_t now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    relax();
  }
  const auto deadline = Clock::now() + spin_time;
  do {
    std::this_thread::yield();
    for (int poll = 0; poll < 16; ++poll) {
      const std::uint32_t now = value.load(std::memory_order_acquire);
      if (now != old) return now;
      relax();
    }
  } while (Clock::now() < deadline);
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

// CPUs' worth of time that the control group grants; 0: no limit.
int quota_cores() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::int64_t quota = 0;
  std::int64_t period = 0;
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) return 0;  // "max 100000" is no number
  return static_cast<int>(std::min<std::int64_t>((quota + period - 1) / period, 1 << 16));
}

int affinity_cores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) return 0;
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &mask)) continue;
    std::ifstream file(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
    std::string siblings;
    if (!std::getline(file, siblings)) siblings = fmt::format("cpu{}", cpu);
    cores.insert(siblings);
  }
  return static_cast<int>(cores.size());
}

}  // namespace

int available_cores() {
  int cores = affinity_cores();
  if (cores == 0) cores = static_cast<int>(std::thread::hardware_concurrency());
  const int quota = quota_cores();
  if (quota > 0) cores = std::min(cores, quota);
  return std::max(cores, 1);
}

ThreadPool::ThreadPool(int threads) {
  PRECIS_CHECK(threads >= 0, "{}", threads);
  workers_ = threads > 0 ? threads : available_cores();
  threads_.reserve(static_cast<std::size_t>(workers_ - 1));
  try {
    for (int worker = 1; worker < workers_; ++worker) threads_.emplace_back([this, worker] { serve(worker); });
  } catch (const std::system_error& error) {
    stop();
    fail("cannot start {} threads: {}", workers_, error.what());
  }
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::stop() {
  stopping_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::dispatch(Job job) {
  job.pastime = pastime_;
  job_ = job;
  busy_.store(static_cast<std::uint32_t>(threads_.size()), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  job.call(job.closure, 0, workers_);
  for (std::uint32_t busy = busy_.load(std::memory_order_acquire); busy != 0;) {
    busy = await_change(busy_, busy, job.pastime, 0);
    job.pastime = {};  // once
  }
}

void ThreadPool::serve(int worker) {
  std::uint32_t round = 0;
  Job job;
  for (;;) {
    round = await_change(round_, round, job.pastime, worker);
    if (stopping_) return;
    job = job_;
    job.call(job.closure, worker, workers_);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

}  // namespace precis
