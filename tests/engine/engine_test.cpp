// The door: requests, events, ends, refusals and memory.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <thread>

#include "engine/answers.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

EngineOptions ksa_options() {
  EngineOptions options;
  options.model = models_folder() / "demo-ksa";
  options.threads = 2;
  options.context = 2048;
  return options;
}

std::string book() {
  std::ifstream file(data_folder() / "needles" / "00.txt");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string refusal(Engine& engine, const Request& request) {
  try {
    engine.submit(request);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(EngineThreadsTest, ManySubmittersOneEndEach) {
  EngineOptions options = ksa_options();
  options.max_sequences = 4;
  Engine engine(options);
  std::vector<std::thread> threads;
  std::atomic<int> ends = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 3; ++j) {
        Request request = greedy_request({1, 300 + i, 400 + j}, 10);
        Stream stream = engine.submit(request);
        if (j == 1) stream.cancel();
        if (wait_for(stream).end.end) ++ends;
      }
      // A stream that nobody reads to the end.
      Stream dropped = engine.submit(greedy_request({1, 2 + i}, 500));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ends, 12);
}

TEST(EngineThreadsTest, DestroyedWhileBusy) {
  auto engine = std::make_unique<Engine>(ksa_options());
  Stream running = engine->submit(greedy_request({1, 300}, 1500));
  Stream waiting = engine->submit(greedy_request({1, 301}, 1500));
  running.next();
  engine.reset();
  EXPECT_EQ(wait_for(running).end.reason, EndReason::cancelled);
  EXPECT_EQ(wait_for(waiting).end.reason, EndReason::cancelled);
}

TEST(Engine, CancelKeepsWhatWasSaid) {
  Engine engine(ksa_options());
  Stream stream = engine.submit(greedy_request(engine.text().encode_prompt("The old man"), 1500));
  for (int i = 0; i < 5; ++i) stream.next();
  stream.cancel();
  const Result result = wait_for(stream);
  EXPECT_EQ(result.end.reason, EndReason::cancelled);
  EXPECT_LT(result.end.usage.answer_tokens, 1500);
  EXPECT_GE(result.end.usage.answer_tokens, 5);
}

TEST(Engine, StopTextEndsBeforeIt) {
  Engine engine(ksa_options());
  Request request = greedy_request(engine.text().encode_prompt("It was a dark and stormy night"), 200);
  Stream free = engine.submit(request);
  const std::string whole = wait_for(free).text;
  const std::string stop = whole.substr(20, 7);
  request.stop = {stop};
  Stream stopped = engine.submit(request);
  const Result result = wait_for(stopped);
  EXPECT_EQ(result.end.reason, EndReason::stop_string);
  EXPECT_EQ(result.text, whole.substr(0, whole.find(stop)));
  EXPECT_NE(result.end.usage.logits_hash, 0U);
  request.hash_logits = false;
  Stream unasked = engine.submit(request);
  EXPECT_EQ(wait_for(unasked).end.usage.logits_hash, 0U);
}

TEST(Engine, SameSeedSameText) {
  Engine engine(ksa_options());
  Request request = greedy_request(engine.text().encode_prompt("The ship"), 40);
  request.sampling.temperature = 0.9F;
  const auto ids = [&](std::uint64_t seed) {
    request.sampling.seed = seed;
    Stream stream = engine.submit(request);
    return wait_for(stream).ids;
  };
  const auto first = ids(11);
  EXPECT_EQ(ids(11), first);
  EXPECT_NE(ids(12), first);
}

TEST(Engine, LogprobsAreOfTheModel) {
  Engine engine(ksa_options());
  Request request = greedy_request({1, 300, 301}, 3);
  request.top_logprobs = 4;
  Stream stream = engine.submit(request);
  for (TokenEvent event = stream.next(); !event.end; event = stream.next()) {
    ASSERT_TRUE(event.logprob);
    ASSERT_EQ(event.top.size(), 4U);
    EXPECT_EQ(event.top[0].id, event.id);
    EXPECT_EQ(event.top[0].logprob, *event.logprob);
    EXPECT_GE(event.top[0].logprob, event.top[1].logprob);
    EXPECT_LT(event.top[0].logprob, 0);
  }
}

TEST(Engine, ThrowingCallbackFailsItsRequestAlone) {
  Engine engine(ksa_options());
  Request request = greedy_request({1, 300}, 5);
  request.on_logits = [](std::int64_t, std::span<const float>) { throw std::runtime_error("the disk is full"); };
  Stream failed = engine.submit(request);
  const Result result = wait_for(failed);
  EXPECT_EQ(result.end.reason, EndReason::failed);
  EXPECT_EQ(result.end.error, "the disk is full");
  Stream fine = engine.submit(greedy_request({1, 300}, 5));
  EXPECT_EQ(wait_for(fine).ids.size(), 5U);
}

TEST(Engine, RefusesWhatCannotRun) {
  Engine engine(ksa_options());
  EXPECT_NE(refusal(engine, greedy_request({}, 5)).find("at least one"), std::string::npos);
  EXPECT_NE(refusal(engine, greedy_request({8192}, 5)).find("8192"), std::string::npos) << "a summary token";
  EXPECT_NE(refusal(engine, greedy_request({-1}, 5)).find("-1"), std::string::npos);
  EXPECT_NE(refusal(engine, greedy_request(std::vector<std::int32_t>(2049, 5), 0)).find("2048"), std::string::npos);
  EXPECT_NE(refusal(engine, greedy_request(std::vector<std::int32_t>(2048, 5), 1)).find("2048"), std::string::npos);
  EXPECT_NE(refusal(engine, greedy_request(std::vector<std::int32_t>(2000, 5), 49)).find("49"), std::string::npos);
  Request request = greedy_request({1}, 1);
  request.sampling.top_p = 0;
  EXPECT_NE(refusal(engine, request).find("top_p"), std::string::npos);
  EXPECT_EQ(refusal(engine, greedy_request(std::vector<std::int32_t>(2000, 5), 48)), "");
}

TEST(Engine, RefusesOptionsByName) {
  const auto message = [](auto change) -> std::string {
    EngineOptions options = ksa_options();
    change(options);
    try {
      Engine engine(options);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message([](auto& o) { o.backend = "gpu"; }).find("gpu"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.compute = "int3"; }).find("compute"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.kv_cache_dtype = "fp4"; }).find("kv_cache_dtype: 'fp4'"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.rope_frequencies = "f8"; }).find("rope_frequencies"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.piece = 0; }).find("piece"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.threads = -1; }).find("threads"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.kv_memory = 1 << 20; }).find("largest context that fits"), std::string::npos);
  EXPECT_NE(message([](auto& o) { o.model = "/nowhere"; }).find("/nowhere"), std::string::npos);
}

TEST(Engine, ContextIsReachedExactly) {
  EngineOptions options = ksa_options();
  options.context = 64;
  Engine engine(options);
  Stream stream = engine.submit(greedy_request({1, 300, 301}, -1));
  const Result result = wait_for(stream);
  EXPECT_EQ(result.ids.size(), 61U);
  EXPECT_EQ(result.end.reason, EndReason::length);
}

// Half the bytes of bf16, nearly the same expectations, and nothing held at the end.
TEST(EngineLongTest, KeepsKAndVInBytes) {
  for (const char* model : {"demo-ksa", "demo-dense"}) {
    MemoryReport memory[2];
    KvReport kv[2];
    std::vector<float> logits[2];
    for (int i = 0; i < 2; ++i) {
      EngineOptions options = ksa_options();
      options.model = models_folder() / model;
      options.backend = test_backend();
      options.kv_cache_dtype = i == 0 ? "bf16" : "fp8";
      options.prefix_cache = false;
      Engine engine(options);
      Request request = greedy_request(engine.text().encode_prompt(book().substr(0, 4000)), 40);
      LogitRows rows;
      collect(request, rows, false);
      Stream stream = engine.submit(request);
      const Result result = wait_for(stream);
      EXPECT_EQ(result.ids.size(), 40U);
      kv[i] = result.end.usage.kv;
      logits[i] = rows.begin()->second;  // of the prompt, which is the same
      engine.submit(greedy_request({1}, 0)).next();
      memory[i] = engine.memory();
    }
    EXPECT_EQ(2 * kv[1].held_bytes, kv[0].held_bytes) << model;
    EXPECT_EQ(2 * kv[1].full_bytes, kv[0].full_bytes) << model;
    EXPECT_EQ(2 * memory[1].pool_bytes, memory[0].pool_bytes) << model;
    const double difference = relative_difference(logits[1], logits[0]);
    EXPECT_LT(difference, 0.1) << model;
    EXPECT_GT(difference, 0) << model;
  }
}

TEST(EngineLongTest, HoldsWhatTheFormulaSaysAt16k) {
  EngineOptions options = ksa_options();
  options.context = 16384;
  options.prefix_cache = false;
  Engine engine(options);
  std::vector<std::int32_t> ids = engine.text().encode_prompt(book());
  ids.resize(16384, 300);
  Stream stream = engine.submit(greedy_request(ids, 0));
  const KvReport kv = wait_for(stream).end.usage.kv;
  ASSERT_EQ(kv.tokens, 16384);
  ASSERT_EQ(kv.kinds.size(), 3U);
  // KSA.md: 3 full layers; 9 with k (W + 1) of text, of which the current chunk is empty here, and n / k summaries.
  EXPECT_EQ(kv.kinds[0].entries, 3 * 16384);
  EXPECT_EQ(kv.kinds[1].entries, 9 * 32 * 8);
  EXPECT_EQ(kv.kinds[2].entries, 9 * 16384 / 8);
  for (const KvKind& kind : kv.kinds) {
    const std::int64_t a_page_a_layer = kind.layers * 2 * kv.page_entries;
    EXPECT_LE(kind.held_entries - kind.entries, a_page_a_layer) << kind.name;
    EXPECT_GE(kind.held_entries, kind.entries) << kind.name;
  }
  EXPECT_EQ(kv.full_bytes, 12LL * 16384 * 2 * 2 * 64 * 2);
  EXPECT_LT(kv.held_bytes, kv.full_bytes / 2);
}

TEST(EngineLongTest, Bf16AgreesWithF32) {
  constexpr std::int64_t positions = 2000;
  const auto top = [&](const std::string& compute) {
    EngineOptions options = ksa_options();
    options.compute = compute;
    Engine engine(options);
    std::vector<std::int32_t> ids = engine.text().encode_prompt(book().substr(0, 20000));
    ids.resize(positions);
    std::vector<std::ptrdiff_t> best;
    Request request = greedy_request(ids, 0);
    request.all_logits = true;
    request.on_logits = [&](std::int64_t, std::span<const float> logits) {
      best.push_back(std::max_element(logits.begin(), logits.end()) - logits.begin());
    };
    Stream stream = engine.submit(request);
    wait_for(stream);
    return best;
  };
  const auto f32 = top("f32");
  const auto bf16 = top("bf16");
  ASSERT_EQ(f32.size(), static_cast<std::size_t>(positions));
  int equal = 0;
  for (std::size_t i = 0; i < f32.size(); ++i) equal += f32[i] == bf16[i] ? 1 : 0;
  RecordProperty("equal", equal);
  EXPECT_GE(equal, positions * 99 / 100);
}

}  // namespace
}  // namespace precis::test
