// Request::on_progress: how far a prompt is computed.
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "engine/answers.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

EngineOptions options_with_pieces() {
  EngineOptions options;
  options.model = models_folder() / "demo-ksa";
  options.threads = 2;
  options.context = 1024;
  options.piece = 64;
  return options;
}

// Ids 300, 301, ... behind a bos.
std::vector<std::int32_t> some_ids(std::size_t count) {
  std::vector<std::int32_t> ids(count);
  std::iota(ids.begin(), ids.end(), 300);
  ids[0] = 1;
  return ids;
}

TEST(Progress, IsToldAfterEachPieceOnTheEnginesThread) {
  Engine engine(options_with_pieces());
  std::vector<std::int64_t> told;
  const std::thread::id own = std::this_thread::get_id();
  Request request = greedy_request(some_ids(300), 5);
  request.on_progress = [&](std::int64_t computed) {
    EXPECT_NE(std::this_thread::get_id(), own);
    told.push_back(computed);
  };
  Stream stream = engine.submit(request);
  EXPECT_EQ(wait_for(stream).ids.size(), 5U);
  EXPECT_EQ(told, (std::vector<std::int64_t>{64, 128, 192, 256, 300})) << "and no more while the answer is generated";
}

TEST(Progress, CountsWhatTheCacheHad) {
  Engine engine(options_with_pieces());
  Request request = greedy_request(some_ids(200), 0);
  Stream first = engine.submit(request);
  wait_for(first);
  std::vector<std::int64_t> told;
  request.ids = some_ids(300);
  request.on_progress = [&](std::int64_t computed) { told.push_back(computed); };
  Stream second = engine.submit(request);
  EXPECT_EQ(wait_for(second).end.usage.reused_tokens, 200);
  EXPECT_EQ(told, (std::vector<std::int64_t>{264, 300}));
}

TEST(Progress, WhatACancelledReadingComputedIsReused) {
  Engine engine(options_with_pieces());
  std::atomic<Stream*> reading = nullptr;
  Request request = greedy_request(some_ids(900), 0);
  request.on_progress = [&](std::int64_t computed) {
    while (reading == nullptr) std::this_thread::yield();
    if (computed >= 256) reading.load()->cancel();
  };
  Stream stream = engine.submit(request);
  reading = &stream;
  const Result stopped = wait_for(stream);
  EXPECT_EQ(stopped.end.reason, EndReason::cancelled);
  EXPECT_EQ(stopped.end.usage.kv.tokens, 256);
  request.on_progress = nullptr;
  Stream again = engine.submit(request);
  EXPECT_EQ(wait_for(again).end.usage.reused_tokens, 256);
}

TEST(Progress, ThrowingFailsItsRequestAlone) {
  Engine engine(options_with_pieces());
  Request request = greedy_request(some_ids(300), 5);
  request.on_progress = [](std::int64_t) { throw std::runtime_error("enough"); };
  Stream failed = engine.submit(request);
  const Result result = wait_for(failed);
  EXPECT_EQ(result.end.reason, EndReason::failed);
  EXPECT_EQ(result.end.error, "enough");
  EXPECT_TRUE(result.ids.empty());
  Stream fine = engine.submit(greedy_request(some_ids(300), 5));
  EXPECT_EQ(wait_for(fine).ids.size(), 5U);
}

}  // namespace
}  // namespace precis::test
