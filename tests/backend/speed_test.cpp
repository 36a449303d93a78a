// The loops that a machine is measured with: they do all of their work, and the numbers are of this world.
#include <gtest/gtest.h>

#include "backend/cpu/isa.h"
#include "device/host_memory.h"
#include "device/host_speed.h"
#include "problems.h"

namespace precis {
namespace {

TEST(SpeedTest, EveryWordIsRead) {
  const std::uint64_t seed = fresh_seed();
  SCOPED_TRACE("PRECIS_TEST_SEED=" + std::to_string(seed));
  Random random(seed);
  for (const cpu::Kernels* kernels : cpu::available_kernels()) {
    for (const std::int64_t words : {std::int64_t{0}, std::int64_t{1}, std::int64_t{65'535}, std::int64_t{65'536},
                                     random.between(65'537, 300'000)}) {
      std::vector<std::uint32_t> data(static_cast<std::size_t>(words));
      std::uint32_t expected = 0;
      for (std::uint32_t& word : data) expected += word = static_cast<std::uint32_t>(random.between(0, 0xffffffff));
      EXPECT_EQ(kernels->sum_words(data.data(), words), expected) << kernels->name << ", " << words << " words";
    }
  }
}

TEST(SpeedTest, EveryChainIsMultiplied) {
  for (const cpu::Kernels* kernels : cpu::available_kernels()) {
    const auto chains = static_cast<float>(kernels->multiply_chains);
    EXPECT_EQ(kernels->multiply_add(40), 2 * chains) << kernels->name;
    EXPECT_EQ(kernels->multiply_add(1000), 2 * chains) << kernels->name;
    EXPECT_NE(kernels->multiply_add(3), 2 * chains) << kernels->name;  // not yet
  }
}

TEST(SpeedThreadsTest, AMachineIsMeasuredWithAnyNumberOfWorkers) {
  for (const cpu::Kernels* kernels : cpu::available_kernels()) {
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      const SpeedLoops loops{kernels->sum_words, kernels->multiply_add, kernels->multiply_chains};
      constexpr std::int64_t bytes = 1'000'004;
      const DeviceSpeed speed = measure_host(loops, pool, bytes, 10'000);
      EXPECT_GT(speed.read_bytes, 0) << kernels->name;
      EXPECT_GT(speed.flops, 0) << kernels->name;
      EXPECT_GT(measure_host_read(loops, pool, bytes), 0) << kernels->name;
    }
  }
}

TEST(SpeedTest, TheMemoryReadIsLargerThanTheCaches) {
  EXPECT_GE(uncached_bytes(), std::int64_t{64} << 20);
  EXPECT_LE(uncached_bytes(), installed_host_memory() / 4);
  EXPECT_LE(available_host_memory(), installed_host_memory());
  EXPECT_GT(available_host_memory(), 0);
}

}  // namespace
}  // namespace precis
