#include "backend/factory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>
#include <vector>

#include "backend/cpu/isa.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "device/ops.h"
#include "gpu.h"

namespace precis {
namespace {

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Sets PRECIS_ISA for a test, and what it was before afterwards.
class IsaVariable {
 public:
  explicit IsaVariable(const char* value) {
    if (const char* old = std::getenv("PRECIS_ISA"); old != nullptr) old_ = old;
    setenv("PRECIS_ISA", value, 1);
  }
  ~IsaVariable() {
    if (old_.empty()) {
      unsetenv("PRECIS_ISA");
    } else {
      setenv("PRECIS_ISA", old_.c_str(), 1);
    }
  }

 private:
  std::string old_;
};

TEST(FactoryTest, OpensByName) {
  const IsaVariable isa("");
  const std::string fastest = cpu::available_kernels().front()->name;
  EXPECT_EQ(open_backend("reference", {})->description(), "reference (scalar, 1 thread)");
  EXPECT_EQ(open_backend("cpu", {.threads = 1})->description(), "cpu (" + fastest + ", 1 thread)");
  EXPECT_EQ(open_backend("cpu", {.threads = 3})->description(), "cpu (" + fastest + ", 3 threads)");
  if (why_no_gpu().empty()) return;  // which auto takes: see cuda_device_test.cpp
  EXPECT_EQ(open_backend("auto", {})->description(),
            open_backend("cpu", {.threads = available_cores()})->description());
}

TEST(FactoryTest, RefusesUnknownNamesAndThreads) {
  EXPECT_EQ(message_of([] { open_backend("gpu", {}); }),
            "backend: unknown 'gpu', expected auto, cuda, cpu or reference");
  EXPECT_EQ(message_of([] { open_backend("", {}); }), "backend: unknown '', expected auto, cuda, cpu or reference");
  EXPECT_EQ(message_of([] { open_backend("cpu", {.threads = -1}); }), "threads: -1, expected 0 (all cores) to 1024");
  EXPECT_EQ(message_of([] { open_backend("cpu", {.threads = 5000}); }),
            "threads: 5000, expected 0 (all cores) to 1024");
}

TEST(FactoryTest, EnvironmentForcesAnInstructionSet) {
  for (const cpu::Kernels* kernels : cpu::available_kernels()) {
    const IsaVariable isa(kernels->name);
    EXPECT_EQ(open_backend("cpu", {.threads = 1})->description(), fmt::format("cpu ({}, 1 thread)", kernels->name));
  }
  const IsaVariable isa("sse9");
  const std::string message = message_of([] { open_backend("cpu", {.threads = 1}); });
  EXPECT_TRUE(message.starts_with("PRECIS_ISA: unknown or unsupported here 'sse9', expected ")) << message;
  EXPECT_TRUE(message.ends_with("baseline")) << message;
}

TEST(FactoryTest, AllocationsAreAlignedAndHold) {
  for (const char* name : {"cpu", "reference"}) {
    const auto device = open_backend(name, {.threads = 1});
    for (const std::int64_t bytes : {std::int64_t{0}, std::int64_t{1}, std::int64_t{100}, std::int64_t{1} << 20}) {
      const Buffer buffer = device->allocate(bytes);
      EXPECT_EQ(buffer.bytes(), bytes);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.as()) % 64, 0U);
      std::vector<std::byte> data(static_cast<std::size_t>(bytes), std::byte{0x5a});
      device->ops().to_device(buffer.as(), data.data(), bytes);
      const auto* back = static_cast<const std::byte*>(device->ops().on_host(buffer.as(), bytes));
      EXPECT_TRUE(std::equal(data.begin(), data.end(), back));
    }
  }
}

TEST(FactoryTest, AllocationBeyondTheMachineIsAnError) {
  const auto device = open_backend("cpu", {.threads = 1});
  const std::string message = message_of([&] { device->allocate(std::int64_t{1} << 60); });
  EXPECT_TRUE(message.starts_with("cannot allocate ")) << message;
}

TEST(FactoryTest, AdoptsInPlaceAndCopiesOnlyWhatIsMisaligned) {
  const auto device = open_backend("cpu", {.threads = 1});
  auto memory = std::make_shared<std::vector<float>>(8);
  std::iota(memory->begin(), memory->end(), 1.0F);
  const auto* bytes = reinterpret_cast<const std::byte*>(memory->data());

  HostTensor aligned{{bytes + 4, DType::f32, {6}}, memory};
  EXPECT_EQ(device->adopt(aligned).as(), bytes + 4);
  HostTensor halves{{bytes + 2, DType::bf16, {6}}, memory};
  EXPECT_EQ(device->adopt(halves).as(), bytes + 2);

  HostTensor crooked{{bytes + 3, DType::f32, {6}}, memory};
  const Buffer copy = device->adopt(crooked);
  EXPECT_EQ(copy.bytes(), 24);
  EXPECT_NE(copy.as(), bytes + 3);
  EXPECT_EQ(std::memcmp(copy.as(), bytes + 3, 24), 0);
}

TEST(FactoryTest, AdoptedMemoryLivesAsLongAsTheBuffer) {
  const auto device = open_backend("cpu", {.threads = 1});
  auto memory = std::make_shared<std::vector<float>>(4, 2.5F);
  const std::weak_ptr<std::vector<float>> watched = memory;
  Buffer buffer = device->adopt({{reinterpret_cast<const std::byte*>(memory->data()), DType::f32, {4}}, memory});
  memory.reset();
  ASSERT_FALSE(watched.expired());
  EXPECT_EQ(buffer.as<float>()[3], 2.5F);
  buffer = Buffer();
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace precis
