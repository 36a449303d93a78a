// What becomes of requests when the device fails in a step, for once or for good.
#include <gtest/gtest.h>

#include "device/device_lost.h"
#include "engine/answers.h"
#include "engine/engine_thread.h"
#include "engine/hooked_device.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

constexpr const char* out_of_memory = "cuda: cannot allocate 2.00 GB: 1.00 GB of the GPU's 80.0 GB are free";
constexpr const char* illegal_address = "cuda: cudaStreamSynchronize: an illegal memory access was encountered";

class DeviceFailureThreadsTest : public testing::Test {
 protected:
  void SetUp() override {
    EngineOptions options;
    options.model = models_folder() / "demo-ksa";
    options.context = 512;
    options.max_sequences = 2;
    engine_ = std::make_unique<EngineThread>(
        options, [this](const EngineOptions&) { return std::make_unique<HookedDevice>(hooks_); });
  }

  Stream submit(std::int64_t tokens) {
    std::vector<Request> one;
    one.push_back(greedy_request({1, 300 + first_++}, tokens));
    return std::move(engine_->submit(std::move(one)).front());
  }

  // From now on the operation fails, `times` times.
  template <typename Failure>
  void fail_at(std::string_view operation, const char* message, int times) {
    armed_ = times;
    hooks_->before = [this, operation, message](std::string_view called) {
      if (called == operation && armed_.fetch_sub(1) > 0) throw Failure(message);
    };
  }

  // What the device does is set while nothing runs: the thread that calls it waits for requests.
  std::shared_ptr<DeviceHooks> hooks_ = std::make_shared<DeviceHooks>();
  std::atomic<int> armed_ = 0;
  std::int32_t first_ = 0;
  std::unique_ptr<EngineThread> engine_;
};

TEST_F(DeviceFailureThreadsTest, FailedStepFailsItsRequestsAlone) {
  for (const std::string_view operation : {"to_device", "embed", "linear", "attention", "on_host"}) {
    fail_at<Error>(operation, out_of_memory, 1);
    Stream failed = submit(5);
    const Result result = wait_for(failed);
    EXPECT_EQ(result.end.reason, EndReason::failed) << operation;
    EXPECT_EQ(result.end.error, out_of_memory) << operation;
    Stream fine = submit(5);
    EXPECT_EQ(wait_for(fine).ids.size(), 5U) << operation;
  }
  engine_->clear_prefix_cache();
}

TEST_F(DeviceFailureThreadsTest, WaitingRequestsOutliveAFailedStep) {
  fail_at<Error>("attention", out_of_memory, 1);
  std::vector<Request> requests;
  for (std::int32_t i = 0; i < 5; ++i) requests.push_back(greedy_request({1, 300 + i}, 5));
  std::vector<Stream> streams = engine_->submit(std::move(requests));
  int failed = 0;
  for (Stream& stream : streams) failed += wait_for(stream).end.reason == EndReason::failed ? 1 : 0;
  EXPECT_EQ(failed, 2);  // those that ran
}

TEST_F(DeviceFailureThreadsTest, LostDeviceEndsEveryRequest) {
  Stream before = submit(3);
  EXPECT_EQ(wait_for(before).ids.size(), 3U);

  fail_at<DeviceLost>("on_host", illegal_address, 1);
  std::vector<Request> requests;
  for (std::int32_t i = 0; i < 5; ++i) requests.push_back(greedy_request({1, 400 + i}, 5));
  std::vector<Stream> streams = engine_->submit(std::move(requests));
  for (Stream& stream : streams) {
    const Result result = wait_for(stream);
    EXPECT_EQ(result.end.reason, EndReason::failed);
    EXPECT_TRUE(result.end.error.starts_with("the device is lost")) << result.end.error;
    EXPECT_TRUE(result.end.error.ends_with(illegal_address)) << result.end.error;
  }
  // The device would work again, but nobody may trust it.
  Stream later = submit(3);
  const Result result = wait_for(later);
  EXPECT_EQ(result.end.reason, EndReason::failed);
  EXPECT_TRUE(result.end.error.starts_with("the device is lost")) << result.end.error;
}

// A first failure in the middle of an answer: what was said stays said.
TEST_F(DeviceFailureThreadsTest, AnswersKeepWhatWasSaid) {
  std::atomic<int> steps = 0;
  hooks_->before = [&](std::string_view called) {
    if (called == "on_host" && ++steps == 4) throw DeviceLost(illegal_address);
  };
  Stream stream = submit(20);
  const Result result = wait_for(stream);
  EXPECT_EQ(result.ids.size(), 3U);
  EXPECT_EQ(result.end.reason, EndReason::failed);
  engine_.reset();
}

}  // namespace
}  // namespace precis::test
