// What an engine is planned to take, beside what it takes.
#include "engine/engine_plan.h"

#include <gtest/gtest.h>

#include "backend/factory.h"
#include "base/error.h"
#include "engine/engine_thread.h"
#include "engine/hooked_device.h"
#include "precis/memory_plan.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

constexpr std::int64_t MB = 1'000'000;

EngineOptions demo_options(const char* model) {
  EngineOptions options;
  options.model = models_folder() / model;
  options.threads = 2;
  return options;
}

// An engine on a device that has memory of its own.
std::unique_ptr<EngineThread> open_on(const EngineOptions& options, const DeviceMemory& memory) {
  const auto hooks = std::make_shared<DeviceHooks>();
  hooks->memory = memory;
  return std::make_unique<EngineThread>(options,
                                        [&](const EngineOptions&) { return std::make_unique<HookedDevice>(hooks); });
}

std::string refusal(const EngineOptions& options, const DeviceMemory& memory) {
  try {
    open_on(options, memory);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(EnginePlanTest, IsWhatAnEngineAllocates) {
  for (const char* model : {"demo-ksa", "demo-dense"}) {
    for (const char* esa : {"off", "on"}) {
      EngineOptions options = demo_options(model);
      options.context = 12'000;
      options.esa = esa;
      options.max_sequences = 3;
      const DeviceMemory memory{.total = 4'000 * MB, .free = 4'000 * MB};
      const auto engine = open_on(options, memory);
      const ModelFiles files(options);
      DeviceTraits traits = forecast_backend("cpu", {}).traits;
      traits.own_memory = true;
      const EnginePlan plan(options, files, traits);
      const MemoryReport report = engine->memory();
      constexpr std::int64_t step_inputs = 64 << 10;
      EXPECT_EQ(plan.needs().weights, report.weight_bytes) << model << " " << esa;
      EXPECT_EQ(plan.needs().workspace + step_inputs, report.workspace_bytes) << model << " " << esa;
      EXPECT_EQ(plan.geometry().device_bytes(plan.pool(0).pages), report.pool_bytes) << model << " " << esa;
    }
  }
}

TEST(EnginePlanTest, BackendsAreAsForetold) {
  for (const std::string name : {"cpu", "reference", "cuda"}) {
    for (const bool deterministic : {false, true}) {
      const BackendOptions options{.threads = 1, .deterministic = deterministic};
      std::unique_ptr<Device> device;
      try {
        device = open_backend(name, options);
      } catch (const Error&) {
        ASSERT_EQ(name, "cuda");  // not here
        continue;
      }
      EXPECT_EQ(forecast_backend(name, options).traits, traits_of(*device)) << name;
    }
  }
  EXPECT_EQ(forecast_backend("cuda", {}).name, "cuda");
  EXPECT_THROW(forecast_backend("abacus", {}), Error);
}

// An engine that opens at the largest context that is told does not at one page more.
TEST(EnginePlanTest, LargestContextIsTheLargest) {
  for (const char* model : {"demo-ksa", "demo-dense"}) {
    EngineOptions options = demo_options(model);
    options.context = 2048;
    const DeviceMemory memory{.total = 4'000 * MB, .free = 900 * MB};
    const std::int64_t largest = open_on(options, memory)->memory().largest_context;
    EXPECT_GT(largest, 2048) << model;
    options.context = largest;
    EXPECT_EQ(refusal(options, memory), "") << model;
    options.context = largest + 1;
    const std::string why = refusal(options, memory);
    EXPECT_NE(why.find("the largest context that fits is " + std::to_string(largest)), std::string::npos) << why;
    EXPECT_NE(why.find("900 MB that are free of the GPU's 4.00 GB"), std::string::npos) << why;
  }
}

TEST(EnginePlanTest, UnaskedContextsGiveWay) {
  EngineOptions options = demo_options("demo-dense");
  options.max_sequences = 8;
  const auto engine = open_on(options, DeviceMemory{.total = 4'000 * MB, .free = 250 * MB});
  EXPECT_LT(engine->context(), engine->spec().context);
  EXPECT_EQ(engine->context(), engine->memory().largest_context);
}

// A selection that sets in past a length is planned for at that length.
TEST(EnginePlanTest, SelectionFollowsTheContextAskedFor) {
  EngineOptions options;
  options.model = std::filesystem::path(PRECIS_GEOMETRIES) / "qwen3-0.6b";
  options.dummy_weights = true;
  options.esa = "on";
  options.backend = "cpu";
  const MemoryForecast forecast(options);
  const auto short_bytes = [&](std::int64_t context) { return forecast.at(context).kv.kinds.at(0).short_bytes; };
  EXPECT_EQ(short_bytes(options.esa_initial + options.esa_local + options.esa_top), 0);
  EXPECT_EQ(short_bytes(options.esa_initial + options.esa_local + options.esa_top + 1), 256);
}

}  // namespace
}  // namespace precis::test
