// How the memory of a device that has its own is shared out.
#include "engine/device_budget.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/answers.h"
#include "engine/engine_thread.h"
#include "engine/hooked_device.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

constexpr std::int64_t GB = 1'000'000'000;

EngineOptions demo_options(const char* model) {
  EngineOptions options;
  options.model = models_folder() / model;
  options.threads = 2;
  options.context = 1024;
  return options;
}

struct Opened {
  MemoryReport memory;
  std::string error;    // instead
  bool loaded = false;  // weights were on their way
};

Opened open_on(const EngineOptions& options, std::optional<DeviceMemory> memory) {
  const auto hooks = std::make_shared<DeviceHooks>();
  hooks->memory = memory;
  Opened opened;
  hooks->before = [&](std::string_view operation) { opened.loaded |= operation == "adopt"; };
  try {
    const EngineThread engine(options, [&](const EngineOptions&) { return std::make_unique<HookedDevice>(hooks); });
    opened.memory = engine.memory();
  } catch (const Error& error) {
    opened.error = error.what();
  }
  return opened;
}

TEST(DeviceBudgetTest, PoolTakesWhatTheShareLeaves) {
  const DeviceNeeds needs{.weights = 8 * GB, .workspace = GB, .scratch = GB};
  const DeviceMemory memory{.total = 80 * GB, .free = 79 * GB};
  EXPECT_EQ(pool_share(0.5, memory, needs), 30 * GB);
  EXPECT_THROW(pool_share(0.125, memory, needs), Error);
}

TEST(DeviceBudgetTest, EngineTakesItsShare) {
  EngineOptions options = demo_options("demo-ksa");
  options.gpu_memory_utilization = 0.75;
  const Opened opened = open_on(options, DeviceMemory{.total = 4 * GB, .free = 4 * GB});
  ASSERT_EQ(opened.error, "");
  const MemoryReport& memory = opened.memory;
  EXPECT_LE(memory.weight_bytes + memory.workspace_bytes + memory.pool_bytes, 3 * GB);
  EXPECT_GT(memory.weight_bytes + memory.workspace_bytes + memory.pool_bytes, 2 * GB);
}

TEST(DeviceBudgetTest, RefusesBeforeWeightsAreLoaded) {
  const Opened opened = open_on(demo_options("demo-dense"), DeviceMemory{.total = 4 * GB, .free = GB / 20});
  EXPECT_FALSE(opened.loaded);
  EXPECT_NE(opened.error.find("50.0 MB that are free of the GPU's 4.00 GB"), std::string::npos) << opened.error;
  EXPECT_NE(opened.error.find("--ctx-size"), std::string::npos) << opened.error;

  EngineOptions options = demo_options("demo-dense");
  options.gpu_memory_utilization = 0.01;
  const Opened refused = open_on(options, DeviceMemory{.total = 4 * GB, .free = 4 * GB});
  EXPECT_NE(refused.error.find("gpu_memory_utilization: 0.01 of the GPU's 4.00 GB"), std::string::npos)
      << refused.error;
}

TEST(DeviceBudgetTest, OthersUseOfTheDeviceIsSeen) {
  EngineOptions options = demo_options("demo-ksa");
  options.gpu_memory_utilization = 0.75;
  const Opened opened = open_on(options, DeviceMemory{.total = 4 * GB, .free = 2 * GB});
  EXPECT_FALSE(opened.loaded);
  EXPECT_NE(opened.error.find("2.00 GB that are free"), std::string::npos) << opened.error;
}

// What is planned for weights is what they take, as they are and quantized.
TEST(DeviceBudgetTest, WeightsAreCountedBefore) {
  for (const char* model : {"demo-ksa", "demo-dense"}) {
    for (const char* weights : {"", "q8", "q4"}) {
      EngineOptions options = demo_options(model);
      options.weights = weights;
      const ModelFiles files(options);
      EXPECT_EQ(files.weight_bytes(files.read_spec()).all, open_on(options, std::nullopt).memory.weight_bytes)
          << model << " " << weights;
    }
  }
}

}  // namespace
}  // namespace precis::test
