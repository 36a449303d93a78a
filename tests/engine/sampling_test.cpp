// Answers that are drawn: what a sampler makes of all logits, the same alone and beside others, and without a row of
// logits leaving the device.
#include <gtest/gtest.h>

#include <map>

#include "engine/answers.h"
#include "engine/engine_thread.h"
#include "engine/hooked_device.h"
#include "runtime/sampler.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

EngineOptions demo_options() {
  EngineOptions options;
  options.model = models_folder() / "demo-ksa";
  options.backend = "cpu";
  options.context = 512;
  options.threads = 2;
  options.prefix_cache = false;
  return options;
}

SamplingOptions sampling(float temperature, int top_k, float top_p, float min_p) {
  SamplingOptions options;
  options.temperature = temperature;
  options.top_k = top_k;
  options.top_p = top_p;
  options.min_p = min_p;
  return options;
}

// Options for each of the ways in which a token can be chosen.
std::vector<SamplingOptions> all_ways() {
  std::vector<SamplingOptions> ways = {
      sampling(0, 0, 1, 0),        sampling(1, 0, 1, 0),       sampling(1, 0, 1, 0.05F),   sampling(0.9F, 20, 1, 0),
      sampling(0.7F, 20, 0.8F, 0), sampling(0.8F, 0, 0.6F, 0), sampling(2, 0, 0.9999F, 0), sampling(1, 300, 1, 0)};
  ways.push_back(sampling(1, 40, 1, 0));
  ways.back().presence_penalty = 1.5F;
  for (std::size_t i = 0; i < ways.size(); ++i) ways[i].seed = 100 + i;
  return ways;
}

Request drawn_request(const SamplingOptions& options, std::int64_t tokens) {
  Request request = greedy_request({1, 300, 301, 302}, tokens);
  request.sampling = options;
  return request;
}

TEST(SamplingTest, AnswersAreTheSameAloneAndInABatch) {
  const std::vector<SamplingOptions> ways = all_ways();
  EngineOptions options = demo_options();
  options.compute = "f32";
  options.max_sequences = static_cast<int>(ways.size());
  Engine engine(options);
  std::vector<std::vector<std::int32_t>> alone;
  for (const SamplingOptions& way : ways) {
    Stream stream = engine.submit(drawn_request(way, 40));
    alone.push_back(wait_for(stream).ids);
    EXPECT_EQ(alone.back().size(), 40U);
  }
  std::vector<Stream> streams;
  for (const SamplingOptions& way : ways) streams.push_back(engine.submit(drawn_request(way, 40)));
  for (std::size_t i = 0; i < ways.size(); ++i) EXPECT_EQ(wait_for(streams[i]).ids, alone[i]) << "way " << i;
}

TEST(SamplingTest, AnswersAreWhatWholeRowsGive) {
  const std::vector<SamplingOptions> ways = all_ways();
  EngineOptions options = demo_options();
  options.backend = test_backend();
  options.max_sequences = static_cast<int>(ways.size());
  Engine engine(options);
  std::vector<LogitRows> rows(ways.size());
  std::vector<Stream> streams;
  std::vector<Request> requests;
  for (std::size_t i = 0; i < ways.size(); ++i) {
    requests.push_back(drawn_request(ways[i], 100));
    collect(requests.back(), rows[i], false);
    streams.push_back(engine.submit(requests.back()));
  }
  for (std::size_t i = 0; i < ways.size(); ++i) {
    SCOPED_TRACE(i);
    Sampler sampler(ways[i], requests[i].ids, *ways[i].seed);
    const Result result = wait_for(streams[i]);
    ASSERT_EQ(result.ids.size(), 100U);
    for (std::size_t token = 0; token < result.ids.size(); ++token) {
      const auto index = static_cast<std::int64_t>(requests[i].ids.size() + token) - 1;
      ASSERT_EQ(result.ids[token], sampler.sample(rows[i].at(index))) << "token " << token;
    }
  }
}

class SamplingOnDeviceTest : public testing::Test {
 protected:
  // How often a device is called, by operation, for an answer of 10 tokens to a prompt of one step.
  std::map<std::string, int> calls(const SamplingOptions& options) {
    std::map<std::string, int> calls;
    hooks_->before = [&calls](std::string_view operation) { ++calls[std::string(operation)]; };
    std::vector<Request> one;
    one.push_back(drawn_request(options, 10));
    Stream stream = std::move(engine_.submit(std::move(one)).front());
    EXPECT_EQ(wait_for(stream).ids.size(), 10U);
    return calls;
  }

  std::shared_ptr<DeviceHooks> hooks_ = std::make_shared<DeviceHooks>();
  EngineThread engine_{demo_options(), [this](const EngineOptions&) { return std::make_unique<HookedDevice>(hooks_); }};
};

TEST_F(SamplingOnDeviceTest, LogitsStayThere) {
  for (const SamplingOptions& way :
       {sampling(1, 0, 1, 0), sampling(1, 0, 1, 0.1F), sampling(0.7F, 20, 0.8F, 0.01F), sampling(0.6F, 0, 0.5F, 0)}) {
    const auto drawn = calls(way);
    EXPECT_EQ(drawn.at("draw"), 10);
    EXPECT_FALSE(drawn.contains("most_likely"));
    EXPECT_EQ(drawn.at("on_host"), 10 + 1);  // the last row's for its hash
  }
  SamplingOptions penalised = sampling(0.7F, 20, 0.8F, 0);
  penalised.repetition_penalty = 1.05F;
  EXPECT_EQ(calls(penalised).at("on_host"), 10 + 1);
  const auto greedy = calls(sampling(0, 0, 1, 0));
  EXPECT_EQ(greedy.at("most_likely"), 10);
  EXPECT_FALSE(greedy.contains("draw"));
  EXPECT_EQ(greedy.at("on_host"), 10 + 1);
  EXPECT_EQ(calls(sampling(1, 300, 1, 0)).at("on_host"), 10 + 10);
}

}  // namespace
}  // namespace precis::test
