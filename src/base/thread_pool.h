// Worker threads for loops inside one operation: started once, woken in about a microsecond, no allocation a call.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace precis {

// Physical cores that this process may use: its affinity mask, siblings of one core counted once, at most the cgroup's
// CPU quota. At least 1.
int available_cores();

// A fixed set of workers, of which the calling thread is number 0. Used by one thread at a time; work must not throw
// (that ends the process) and must not use the pool again.
class ThreadPool {
 public:
  // `threads` workers including the caller; 0: available_cores(). Throws Error when the system refuses a thread.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int workers() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls work(worker, workers) once on every worker, and returns when all have returned.
  template <typename Work>
  void run(const Work& work) {
    if (threads_.empty()) return work(0, 1);
    dispatch({&work, [](const void* closure, int worker, int workers) noexcept {
                (*static_cast<const Work*>(closure))(worker, workers);
              }});
  }

  // What workers do from the next run() on while they wait for others and for the run() after it: call(closure, worker,
  // bit) for bit 0, 1, ..., until it returns false or there is work again. A bit should take less than a microsecond.
  // The closure must live until it has been replaced and another run() has ended.
  struct Pastime {
    const void* closure = nullptr;
    bool (*call)(const void* closure, int worker, int bit) noexcept = nullptr;  // or null: nothing
  };
  void while_waiting(const Pastime& pastime) { pastime_ = pastime; }

  // Calls task(index, worker) once for every index in [0, count), each on whichever worker is free first.
  template <typename Task>
  void for_each(std::int64_t count, const Task& task) {
    if (count <= 1 || threads_.empty()) {
      for (std::int64_t index = 0; index < count; ++index) task(index, 0);
      return;
    }
    std::atomic<std::int64_t> next = 0;
    run([&](int worker, int) {
      for (;;) {
        const std::int64_t index = next.fetch_add(1, std::memory_order_relaxed);
        if (index >= count) return;
        task(index, worker);
      }
    });
  }

 private:
  // A reference to the caller's closure, so that nothing is copied or allocated.
  struct Job {
    const void* closure = nullptr;
    void (*call)(const void* closure, int worker, int workers) noexcept = nullptr;
    Pastime pastime = {};  // afterwards
  };

  void dispatch(Job job);
  void serve(int worker);
  void stop();

  std::vector<std::thread> threads_;
  Job job_;  // written by the caller before `round_` is raised, read by workers before they lower `busy_`
  Pastime pastime_;
  bool stopping_ = false;
  int workers_ = 1;
  // Each on its own cache line: the workers poll the first while the others count down on the second.
  alignas(64) std::atomic<std::uint32_t> round_ = 0;
  alignas(64) std::atomic<std::uint32_t> busy_ = 0;
};

}  // namespace precis
