// The cuda backend's memory and copies, and what it says where there is no GPU.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "device/device_lost.h"
#include "gpu.h"
#ifdef PRECIS_HAS_CUDA
#include "backend/cuda/check.h"
#endif

namespace precis {
namespace {

class CudaDeviceTest : public GpuTest {};

TEST(CudaAbsenceTest, SaysWhyThereIsNoGpu) {
  const std::string why = why_no_gpu();
  if (why.empty()) GTEST_SKIP() << "there is one";
  try {
    open_backend("cuda", {});
    FAIL() << "no error";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_TRUE(message.starts_with("backend: cuda: ")) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  EXPECT_TRUE(open_backend("auto", {.threads = 1})->description().starts_with("cpu ("));
}

#ifdef PRECIS_HAS_CUDA
TEST(CudaCheckTest, TellsLostDevicesFromOtherErrors) {
  EXPECT_NO_THROW(cuda::check(cudaSuccess, "cudaMalloc"));
  EXPECT_THROW(cuda::check(cudaErrorIllegalAddress, "cudaStreamSynchronize"), DeviceLost);
  EXPECT_THROW(cuda::check(cudaErrorECCUncorrectable, "cudaStreamSynchronize"), DeviceLost);
  try {
    cuda::check(cudaErrorMemoryAllocation, "cudaMalloc");
    FAIL() << "no error";
  } catch (const DeviceLost&) {
    FAIL() << "a failed allocation is no lost device";
  } catch (const Error& error) {
    EXPECT_TRUE(std::string_view(error.what()).starts_with("cuda: cudaMalloc: ")) << error.what();
  }
}
#endif

TEST_F(CudaDeviceTest, IsFoundByName) {
  EXPECT_TRUE(device_->description().starts_with("cuda (")) << device_->description();
  EXPECT_EQ(open_backend("auto", {})->description(), device_->description());
}

TEST_F(CudaDeviceTest, AllocationsAreAlignedAndHold) {
  for (const std::int64_t bytes : {std::int64_t{0}, std::int64_t{1}, std::int64_t{100}, std::int64_t{1} << 20}) {
    const Buffer buffer = device_->allocate(bytes);
    EXPECT_EQ(buffer.bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.as()) % 64, 0U);
    std::vector<std::byte> data(static_cast<std::size_t>(bytes), std::byte{0x5a});
    device_->ops().to_device(buffer.as(), data.data(), bytes);
    const auto* back = static_cast<const std::byte*>(device_->ops().on_host(buffer.as(), bytes));
    EXPECT_TRUE(std::equal(data.begin(), data.end(), back));
  }
}

TEST_F(CudaDeviceTest, TheHostMayChangeWhatItHasHandedOver) {
  // More than the ring of staging memory holds, in pieces of every size.
  constexpr std::int64_t words = 30 << 20;
  const Buffer buffer = device_->allocate(words * 4);
  std::vector<std::uint32_t> piece;
  for (std::int64_t at = 0; at < words;) {
    const std::int64_t count = std::min(words - at, random_.between(1, 3 << 20));
    piece.resize(static_cast<std::size_t>(count));
    std::iota(piece.begin(), piece.end(), static_cast<std::uint32_t>(at));
    device_->ops().to_device(buffer.as<std::uint32_t>() + at, piece.data(), count * 4);
    std::fill(piece.begin(), piece.end(), 0);
    at += count;
  }
  const auto* back = static_cast<const std::uint32_t*>(device_->ops().on_host(buffer.as(), words * 4));
  for (std::int64_t i = 0; i < words; ++i) ASSERT_EQ(back[i], static_cast<std::uint32_t>(i));
}

TEST_F(CudaDeviceTest, WhatHasSetOutIsNotWhatComesLater) {
  Ops& ops = device_->ops();
  ASSERT_TRUE(ops.runs_asynchronously());
  // Small first, so that the places grow.
  for (const std::int64_t count : {std::int64_t{3}, std::int64_t{1} << 20, std::int64_t{5}}) {
    const Buffer buffer = device_->allocate(count * 4);
    std::vector<std::int32_t> values(static_cast<std::size_t>(count));
    for (std::int32_t step = 0; step < 6; ++step) {
      std::fill(values.begin(), values.end(), step);
      ops.to_device(buffer.as(), values.data(), count * 4);
      ops.set_out(static_cast<std::size_t>(step % 2), buffer.as(), count * 4);
      if (step == 0) continue;
      const auto place = static_cast<std::size_t>((step - 1) % 2);
      const auto* before = static_cast<const std::int32_t*>(ops.arrived(place));
      for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(before[i], step - 1);
      if (step < 5) continue;
      static_cast<void>(ops.arrived(1));
      const auto* now = static_cast<const std::int32_t*>(ops.on_host_since(1, buffer.as(), count * 4));
      for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(now[i], step);
    }
  }
}

TEST_F(CudaDeviceTest, AdoptsACopy) {
  auto memory = std::make_shared<std::vector<float>>(8);
  std::iota(memory->begin(), memory->end(), 1.0F);
  const auto* bytes = reinterpret_cast<const std::byte*>(memory->data());
  const std::weak_ptr<std::vector<float>> watched = memory;
  const Buffer copy = device_->adopt({{bytes + 3, DType::f32, {6}}, memory});
  const std::vector<std::byte> expected(bytes + 3, bytes + 27);
  memory.reset();
  EXPECT_TRUE(watched.expired());
  EXPECT_EQ(copy.bytes(), 24);
  EXPECT_EQ(std::memcmp(device_->ops().on_host(copy.as(), 24), expected.data(), 24), 0);
}

TEST_F(CudaDeviceTest, AllocationBeyondTheGpuIsAnError) {
  try {
    device_->allocate(std::int64_t{1} << 50);
    FAIL() << "no error";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_TRUE(message.starts_with("cuda: cannot allocate 1.13 PB: ")) << message;
    EXPECT_NE(message.find("are free"), std::string::npos) << message;
  }
  const Buffer after = device_->allocate(64);  // and nothing is broken
  EXPECT_NE(after.as(), nullptr);
}

TEST_F(CudaDeviceTest, BuffersOutliveTheirDevice) {
  Buffer buffer;
  {
    const auto device = open_backend("cuda", {});
    buffer = device->allocate(1000);
  }
  buffer = Buffer();
}

TEST_F(CudaDeviceTest, IsMeasured) {
  EXPECT_GT(device_->measure_read(), 0);
  const DeviceSpeed speed = device_->measure();
  EXPECT_GT(speed.read_bytes, 1e10);
  EXPECT_GT(speed.flops, 1e12);
}

}  // namespace
}  // namespace precis
