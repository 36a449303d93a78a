#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

namespace precis {
namespace {

TEST(AvailableCoresTest, IsNoMoreThanTheProcessorsAndAtLeastOne) {
  EXPECT_GE(available_cores(), 1);
  EXPECT_LE(available_cores(), static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
}

TEST(ThreadPoolThreadsTest, DefaultsToAvailableCores) {
  EXPECT_EQ(ThreadPool().workers(), available_cores());
}

TEST(ThreadPoolThreadsTest, RunsOnEveryWorkerOnce) {
  for (const int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.workers(), threads);
    std::vector<int> calls(static_cast<std::size_t>(threads));
    std::vector<std::thread::id> ids(static_cast<std::size_t>(threads));
    pool.run([&](int worker, int workers) {
      EXPECT_EQ(workers, threads);
      ++calls[static_cast<std::size_t>(worker)];
      ids[static_cast<std::size_t>(worker)] = std::this_thread::get_id();
    });
    EXPECT_EQ(calls, std::vector<int>(static_cast<std::size_t>(threads), 1));
    EXPECT_EQ(std::set<std::thread::id>(ids.begin(), ids.end()).size(), static_cast<std::size_t>(threads));
    EXPECT_EQ(ids[0], std::this_thread::get_id());
  }
}

TEST(ThreadPoolThreadsTest, WritesAreSeenByTheCallerAndByTheNextRun) {
  ThreadPool pool(4);
  std::vector<int> values(4, 0);
  for (int round = 1; round <= 2000; ++round) {
    pool.run([&](int worker, int workers) {
      // Each worker adds to its right neighbour's value of the round before.
      const auto at = static_cast<std::size_t>((worker + round) % workers);
      values[at] += worker + 1;
    });
  }
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), 0), 2000 * (1 + 2 + 3 + 4));
}

TEST(ThreadPoolThreadsTest, ForEachCallsEveryIndexOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (const std::int64_t count : {0, 1, 2, 3, 64, 1000}) {
      std::vector<int> calls(static_cast<std::size_t>(count));
      pool.for_each(count, [&](std::int64_t index, int worker) {
        EXPECT_TRUE(worker >= 0 && worker < threads);
        ++calls[static_cast<std::size_t>(index)];
      });
      EXPECT_EQ(calls, std::vector<int>(static_cast<std::size_t>(count), 1));
    }
  }
}

TEST(ThreadPoolThreadsTest, WorkersThatFellAsleepWakeUp) {
  ThreadPool pool(3);
  std::atomic<int> calls = 0;
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));  // far beyond the time that they spin
    pool.run([&](int, int) { ++calls; });
  }
  EXPECT_EQ(calls, 15);
}

TEST(ThreadPoolThreadsTest, TheCallerSleepsThroughLongWork) {
  ThreadPool pool(2);
  std::atomic<int> calls = 0;
  pool.run([&](int worker, int) {
    if (worker == 1) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ++calls;
  });
  EXPECT_EQ(calls, 2);
}

// What workers did while they waited.
struct Bits {
  explicit Bits(int workers, int most) : counts(static_cast<std::size_t>(workers)), limit(most) {}

  static bool take(const void* closure, int worker, int bit) noexcept {
    auto& bits = *static_cast<Bits*>(const_cast<void*>(closure));
    std::atomic<int>& count = bits.counts[static_cast<std::size_t>(worker)];
    if (bit == 0) count = 0;
    if (bit != count) bits.in_order = false;
    if (bit >= bits.limit) return false;
    ++count;
    return true;
  }

  std::vector<std::atomic<int>> counts;  // of each worker since it began to wait
  std::atomic<bool> in_order = true;
  int limit;
};

TEST(ThreadPoolThreadsTest, WaitingWorkersTakeEachBitOnce) {
  Bits bits(3, 100);  // longer than the workers who use it
  ThreadPool pool(3);
  pool.while_waiting({&bits, Bits::take});
  pool.run([](int, int) {});
  for (const int worker : {1, 2}) {
    while (bits.counts[static_cast<std::size_t>(worker)] < 100) std::this_thread::yield();
  }
  EXPECT_TRUE(bits.in_order);
  EXPECT_LE(bits.counts[0], 100);
  pool.while_waiting({});
  pool.run([](int, int) {});
  for (std::atomic<int>& count : bits.counts) count = 0;
  pool.run([](int, int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  for (const std::atomic<int>& count : bits.counts) EXPECT_EQ(count, 0);
}

TEST(ThreadPoolThreadsTest, WorkEndsAPastimeThatNeverEnds) {
  Bits bits(3, 1 << 30);  // longer than the workers who use it
  ThreadPool pool(3);
  pool.while_waiting({&bits, Bits::take});
  std::atomic<int> calls = 0;
  for (int round = 0; round < 100; ++round) pool.run([&](int, int) { ++calls; });
  EXPECT_EQ(calls, 300);
  EXPECT_TRUE(bits.in_order);
}

TEST(ThreadPoolThreadsTest, PoolsComeAndGo) {
  for (int round = 0; round < 50; ++round) {
    ThreadPool idle(3);
    ThreadPool used(2);
    used.run([](int, int) {});
  }
}

TEST(ThreadPoolThreadsTest, MoreThreadsThanCoresFinish) {
  ThreadPool pool(4 * available_cores() + 1);
  std::atomic<std::int64_t> sum = 0;
  for (int round = 0; round < 50; ++round) {
    pool.for_each(100, [&](std::int64_t index, int) { sum.fetch_add(index, std::memory_order_relaxed); });
  }
  EXPECT_EQ(sum, 50 * 4950);
}

}  // namespace
}  // namespace precis
