// A device that runs behind its caller: steps are launched before the ids of the step before are seen, and nothing of
// what comes of a request differs from steps that wait for one another.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "device/device_lost.h"
#include "engine/answers.h"
#include "engine/deferred_device.h"
#include "engine/engine_thread.h"
#include "support/random.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

constexpr const char* broken = "cuda: cudaStreamSynchronize: an illegal memory access was encountered";

EngineOptions demo_options(const std::string& model = "demo-ksa") {
  EngineOptions options;
  options.model = models_folder() / model;
  options.context = 512;
  options.max_sequences = 4;
  options.compute = "f32";
  return options;
}

// All that a caller is told, times aside.
struct Told {
  std::vector<TokenEvent> events;

  const TokenEvent& end() const { return events.back(); }
};

Told wait_for_all(Stream& stream) {
  Told told;
  do {
    told.events.push_back(stream.next());
  } while (!told.events.back().end);
  return told;
}

void expect_same(const Told& told, const Told& expected, const std::string& name) {
  SCOPED_TRACE(name);
  ASSERT_EQ(told.events.size(), expected.events.size());
  for (std::size_t i = 0; i < told.events.size(); ++i) {
    EXPECT_EQ(told.events[i].id, expected.events[i].id) << i;
    EXPECT_EQ(told.events[i].text, expected.events[i].text) << i;
    EXPECT_EQ(told.events[i].logprob, expected.events[i].logprob) << i;
  }
  const TokenEvent& end = told.end();
  EXPECT_EQ(end.reason, expected.end().reason);
  EXPECT_EQ(end.error, expected.end().error);
  const Usage& usage = end.usage;
  const Usage& wanted = expected.end().usage;
  EXPECT_EQ(usage.prompt_tokens, wanted.prompt_tokens);
  EXPECT_EQ(usage.reused_tokens, wanted.reused_tokens);
  EXPECT_EQ(usage.answer_tokens, wanted.answer_tokens);
  EXPECT_EQ(usage.preemptions, wanted.preemptions);
  EXPECT_EQ(usage.logits_hash, wanted.logits_hash);
  EXPECT_EQ(usage.kv.tokens, wanted.kv.tokens);
  EXPECT_EQ(usage.kv.held_bytes, wanted.kv.held_bytes);
  EXPECT_EQ(usage.kv.formula_bytes, wanted.kv.formula_bytes);
}

class Deferred {
 public:
  explicit Deferred(const EngineOptions& options, bool asynchronous = true, const std::string& backend = "cpu") {
    hooks->asynchronous = asynchronous;
    thread_ = std::make_unique<EngineThread>(
        options, [&, this](const EngineOptions& of) { return std::make_unique<DeferredDevice>(of, backend, hooks); });
  }

  EngineThread& engine() { return *thread_; }
  std::vector<Told> ask(const std::vector<Request>& requests) {
    std::vector<Stream> streams = thread_->submit(requests);
    std::vector<Told> all;
    for (Stream& stream : streams) all.push_back(wait_for_all(stream));
    return all;
  }
  // Ends the engine, which checks that no page is held, and gives how many steps were launched ahead.
  std::int64_t end() {
    thread_.reset();
    return hooks->launched_ahead;
  }

  const std::shared_ptr<DeferredHooks> hooks = std::make_shared<DeferredHooks>();

 private:
  std::unique_ptr<EngineThread> thread_;
};

// The same with and without steps that are launched ahead; gives how many were.
std::int64_t expect_same_answers(const EngineOptions& options, const std::vector<Request>& requests,
                                 const std::string& backend = "cpu") {
  Deferred waits(options, false, backend);
  Deferred runs(options, true, backend);
  const std::vector<Told> expected = waits.ask(requests);
  const std::vector<Told> told = runs.ask(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) expect_same(told[i], expected[i], "request " + std::to_string(i));
  EXPECT_EQ(waits.end(), 0);
  return runs.end();
}

Request request_of(std::int32_t first, std::int64_t tokens, float temperature = 0) {
  Request request = greedy_request({1, 300 + first, 301, 302 + 7 * first}, tokens);
  request.sampling.temperature = temperature;
  request.sampling.seed = 40 + static_cast<std::uint64_t>(first);
  return request;
}

TEST(RunAheadTest, GreedyAndDrawnAnswersOfDifferentLengths) {
  std::vector<Request> requests;
  for (std::int32_t i = 0; i < 7; ++i)
    requests.push_back(request_of(i, 5 + 9 * i, i % 3 == 0 ? 0.0F : 0.4F * static_cast<float>(i)));
  requests[4].sampling.min_p = 0.05F;
  for (const char* model : {"demo-ksa", "demo-dense"})
    EXPECT_GT(expect_same_answers(demo_options(model), requests), 40);
}

TEST(RunAheadTest, SameOnTheReference) {
  EXPECT_GT(expect_same_answers(demo_options(), {request_of(1, 12), request_of(2, 9, 0.8F)}, "reference"), 5);
}

// Layers that select (docs/esa.md): what is picked lies in memory that steps share.
EngineOptions selecting_options(const std::string& model, const std::string& positions) {
  EngineOptions options = demo_options(model);
  options.esa = "on";
  options.esa_initial = 2;
  options.esa_local = 8;
  options.esa_top = 6;
  options.esa_positions = positions;
  return options;
}

TEST(RunAheadLongTest, WhereLayersSelect) {
  std::vector<Request> requests;
  for (std::int32_t i = 0; i < 5; ++i) requests.push_back(request_of(i, 8 + 11 * i, i % 2 == 0 ? 0.0F : 0.8F));
  for (const char* model : {"demo-ksa", "demo-dense"}) {
    for (const char* positions : {"absolute", "packed", "fixed"}) {
      SCOPED_TRACE(std::string(model) + ", " + positions);
      EXPECT_GT(expect_same_answers(selecting_options(model, positions), requests), 30);
    }
  }
  EXPECT_GT(expect_same_answers(selecting_options("demo-dense", "fixed"), {request_of(1, 24)}, "reference"), 10);
}

TEST(RunAheadLongTest, WhereSummariesAreChosen) {
  EngineOptions options = selecting_options("demo-ksa", "packed");
  options.esa_layers = "all";
  options.esa_initial = 1;
  options.esa_local = 3;
  options.esa_top = 2;
  options.piece = 100;
  std::vector<Request> requests;
  for (std::int32_t i = 0; i < 3; ++i) {
    requests.push_back(request_of(i, 30 + 9 * i));
    // Behind the window, which has 32 chunks of 8.
    for (std::int32_t more = 0; more < 330 + 17 * i; ++more) requests.back().ids.push_back(400 + more % (13 + i));
  }
  for (const int delay : {0, 3}) {
    options.summary_delay = delay;
    EXPECT_GT(expect_same_answers(options, requests), 20);
  }
}

TEST(RunAheadTest, EndsThatNobodyForesees) {
  // What the answers are, to end some of them within.
  std::vector<Request> requests;
  for (std::int32_t i = 0; i < 4; ++i) requests.push_back(request_of(i, 60, i % 2 == 0 ? 0.0F : 0.9F));
  Deferred free(demo_options());
  const std::vector<Told> whole = free.ask(requests);
  for (const bool cache : {false, true}) {
    EngineOptions options = demo_options();
    options.prefix_cache = cache;
    options.page_entries = cache ? 16 : 3;
    std::vector<Request> ending = requests;
    ending[0].stop_ids = {whole[0].events[20].id};
    ending[1].stop_ids = {whole[1].events[33].id};
    ending[2].stop = {whole[2].events[29].text + whole[2].events[30].text};
    ending[3].stop = {"no such text at all"};
    ending.push_back(request_of(9, 30));  // waits until somebody has ended
    EXPECT_GT(expect_same_answers(options, ending), 20);
  }
  free.end();
}

TEST(RunAheadTest, WhatTheHostMustChooseWaits) {
  std::vector<Request> requests;
  for (std::int32_t i = 0; i < 4; ++i) requests.push_back(request_of(i, 20 + 3 * i, 0.8F));
  requests[0].sampling.top_k = 20;
  requests[1].sampling.top_p = 0.8F;
  requests[2].sampling.presence_penalty = 1;
  requests[3].top_logprobs = 2;
  EXPECT_EQ(expect_same_answers(demo_options(), requests), 0);
}

TEST(RunAheadLongTest, PreemptedUnderATinyPool) {
  EngineOptions options = demo_options();
  options.max_sequences = 1;
  options.prefix_cache = false;
  options.page_entries = 4;
  std::int64_t pool = 0;
  {
    Deferred alone(options);
    pool = alone.engine().memory().pool_bytes;
    alone.end();
  }
  options.max_sequences = 4;
  options.kv_memory = pool * 5 / 4;
  std::vector<Request> requests;
  for (std::int32_t i = 0; i < 4; ++i) requests.push_back(request_of(i, 250 + i));
  Deferred waits(options, false);
  Deferred runs(options);
  const std::vector<Told> expected = waits.ask(requests);
  const std::vector<Told> told = runs.ask(requests);
  int preemptions = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    expect_same(told[i], expected[i], "request " + std::to_string(i));
    preemptions += told[i].end().usage.preemptions;
  }
  EXPECT_GT(preemptions, 0);
  EXPECT_GT(runs.end(), 100);
}

TEST(RunAheadLongTest, WhereLayersSelectPreemptedAndOnACachedPrefixAsAlone) {
  for (const char* model : {"demo-ksa", "demo-dense"}) {
    SCOPED_TRACE(model);
    EngineOptions options = selecting_options(model, "packed");
    options.deterministic = true;
    options.piece = 24;
    options.prefix_distance = 48;
    options.page_entries = 4;
    options.max_sequences = 1;
    std::vector<Request> requests;
    for (std::int32_t i = 0; i < 4; ++i) {
      requests.push_back(request_of(0, 200 - 7 * i));
      for (std::int32_t more = 0; more < 70; ++more) requests.back().ids.push_back(400 + more % 11);
      for (std::int32_t more = 0; more < 20 * i; ++more) requests.back().ids.push_back(500 + 3 * i + more % 7);
    }
    std::vector<Told> expected;
    std::int64_t pool = 0;
    for (const Request& request : requests) {
      Deferred alone(options, false);
      pool = alone.engine().memory().pool_bytes;
      expected.push_back(std::move(alone.ask({request}).front()));
    }
    options.max_sequences = 3;
    options.kv_memory = pool * 6 / 5;
    Deferred runs(options);
    runs.ask({requests[0]});
    const std::vector<Told> told = runs.ask(requests);
    std::int64_t preemptions = 0;
    std::int64_t reused = 0;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      ASSERT_EQ(told[i].events.size(), expected[i].events.size());
      for (std::size_t at = 0; at < told[i].events.size(); ++at) {
        ASSERT_EQ(told[i].events[at].id, expected[i].events[at].id) << i << ", " << at;
      }
      EXPECT_EQ(told[i].end().usage.logits_hash, expected[i].end().usage.logits_hash) << i;
      preemptions += told[i].end().usage.preemptions;
      reused += told[i].end().usage.reused_tokens;
    }
    EXPECT_GT(preemptions, 0);
    EXPECT_GT(reused, 0);
    EXPECT_GT(runs.end(), 30);
  }
}

TEST(RunAheadLongTest, PrefixOfAnAnswerThatEndedIsTakenOver) {
  for (const int page_entries : {1, 5, 16}) {
    EngineOptions options = demo_options();
    options.page_entries = page_entries;
    options.prefix_distance = 16;
    Deferred waits(options, false);
    Deferred runs(options);
    Request first = request_of(3, 200);
    waits.ask({first});
    const std::vector<Told> told = runs.ask({first});
    for (const std::size_t at : {std::size_t{150}, std::size_t{97}, std::size_t{60}}) {
      first.stop_ids = {told[0].events[at].id};
      const std::vector<Told> a = waits.ask({first});
      const std::vector<Told> b = runs.ask({first});
      expect_same(b[0], a[0], "first");
      Request again = first;
      for (std::size_t i = 0; i + 1 < a[0].events.size(); ++i) again.ids.push_back(a[0].events[i].id);
      again.ids.push_back(77);
      again.stop_ids.clear();
      again.max_tokens = 40;
      const std::vector<Told> c = waits.ask({again, request_of(4, 50)});
      const std::vector<Told> d = runs.ask({again, request_of(4, 50)});
      expect_same(d[0], c[0], "again");
      expect_same(d[1], c[1], "beside it");
      runs.engine().clear_prefix_cache();
      waits.engine().clear_prefix_cache();
    }
    waits.end();
    EXPECT_GT(runs.end(), 50);
  }
}

TEST(RunAheadLongTest, RandomRequestsAreAnsweredAlike) {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const std::string model = random.chance(0.5) ? "demo-ksa" : "demo-dense";
    EngineOptions options = demo_options(model);
    if (seed % 3 == 2) {
      options = selecting_options(model, random.pick<std::string>({"absolute", "packed", "fixed"}));
      options.deterministic = random.chance(0.5);
    }
    options.prefix_cache = random.chance(0.5);
    options.prefix_distance = random.pick<int>({0, 8, 64});
    options.page_entries = random.pick<int>({1, 3, 16});
    options.piece = random.pick<int>({3, 16, 512});
    options.summary_delay = random.pick<int>({0, 2});
    options.max_sequences = static_cast<int>(random.between(1, 6));
    std::vector<Request> requests;
    for (int i = 0; i < 8; ++i) {
      Request request = request_of(static_cast<std::int32_t>(random.below(4)), random.between(0, 50),
                                   random.pick<float>({0, 0.7F, 1.5F}));
      for (std::int64_t more = random.below(40); more > 0; --more)
        request.ids.push_back(static_cast<std::int32_t>(400 + more % 9));
      for (int ids = 0; ids < 60; ++ids) request.stop_ids.push_back(static_cast<std::int32_t>(random.below(5000)));
      if (random.chance(0.3)) request.stop = {random.pick<std::string>({"e", "th", " a"})};
      if (random.chance(0.15)) request.sampling.top_k = 9;
      requests.push_back(request);
    }
    expect_same_answers(options, requests);
  }
}

// When step n + 2 is launched, a reader has what step n drew, whether steps run ahead or the host chooses their tokens.
TEST(RunAheadThreadsTest, NoEventWaitsForMoreThanTheNextLaunch) {
  for (const int top_k : {0, 20}) {
    Deferred runs(demo_options());
    std::atomic<int> read = 0;
    std::atomic<bool> in_time = true;
    int launched = 0;
    runs.hooks->called = [&](std::string_view operation) {
      if (operation != "rotation") return;
      ++launched;
      for (int waits = 0; read < launched - 2 && in_time; ++waits) {
        if (waits > 60'000) in_time = false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    };
    Request request = request_of(1, 30, 0.9F);
    request.sampling.top_k = top_k;
    std::vector<Stream> streams = runs.engine().submit({request});
    while (!streams.front().next().end) ++read;
    EXPECT_TRUE(in_time);
    EXPECT_EQ(read, 30);
    // All but the prompt's, and the one after it, which waits for the prompt's snapshot.
    EXPECT_EQ(runs.end(), top_k == 0 ? 28 : 0);
  }
}

TEST(RunAheadThreadsTest, CancelledInTheMiddle) {
  Deferred runs(demo_options());
  for (int round = 0; round < 10; ++round) {
    std::vector<Stream> streams = runs.engine().submit({request_of(1, 400), request_of(2, 60), request_of(3, 400)});
    for (int i = 0; i < round * 3; ++i) streams[0].next();
    streams[0].cancel();
    streams[2] = Stream(nullptr);  // nobody reads it any more
    const Told told = wait_for_all(streams[0]);
    EXPECT_EQ(told.end().reason, EndReason::cancelled);
    // The last token drawn was not computed, whether a step with it was under way or not.
    const Usage& usage = told.end().usage;
    if (usage.answer_tokens > 0) {
      EXPECT_EQ(usage.kv.tokens, 4 + usage.answer_tokens - 1);
      EXPECT_EQ(usage.answer_tokens, static_cast<std::int64_t>(told.events.size()) - 1 + round * 3);
    }
    const Told other = wait_for_all(streams[1]);
    EXPECT_EQ(other.end().usage.answer_tokens, 60);
  }
  EXPECT_GT(runs.end(), 100);
}

TEST(RunAheadThreadsTest, EndedWithAStepUnderWay) {
  Deferred runs(demo_options());
  std::vector<Stream> streams = runs.engine().submit({request_of(1, 400), request_of(2, 400, 1)});
  for (int i = 0; i < 10; ++i) streams[0].next();
  EXPECT_GT(runs.end(), 5);
  EXPECT_EQ(wait_for_all(streams[0]).end().reason, EndReason::cancelled);
}

// A failure in a step that was launched ahead is the step's own: what was drawn before is told.
TEST(RunAheadThreadsTest, FailedStepEndsItsRequestsAlone) {
  for (const bool lost : {false, true}) {
    for (const bool when_called : {false, true}) {
      Deferred runs(demo_options());
      Deferred waits(demo_options(), false);
      std::vector<std::vector<Told>> all;
      for (Deferred* one : {&waits, &runs}) {
        int steps = 0;
        auto& hook = when_called ? one->hooks->called : one->hooks->runs;
        hook = [=](std::string_view operation) mutable {
          if (operation != "rotation" || ++steps != 9) return;
          if (lost) throw DeviceLost(broken);
          throw Error(broken);
        };
        all.push_back(one->ask({request_of(1, 30), request_of(2, 30, 0.9F)}));
        all.push_back(one->ask({request_of(3, 10)}));
      }
      for (std::size_t i = 0; i < 2; ++i) expect_same(all[2][i], all[0][i], "failed");
      expect_same(all[3][0], all[1][0], "after it");
      EXPECT_EQ(all[2][0].events.size(), 9U);
      EXPECT_EQ(all[2][0].end().reason, EndReason::failed);
      EXPECT_EQ(all[3][0].end().reason, lost ? EndReason::failed : EndReason::length);
      waits.end();
      EXPECT_GT(runs.end(), 3);
    }
  }
}

}  // namespace
}  // namespace precis::test
