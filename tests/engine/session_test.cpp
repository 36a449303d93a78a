// Sessions: an engine goes on where another one stopped, bit for bit, and refuses whatever is not its own.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <functional>

#include "engine/engine_thread.h"
#include "engine/hooked_device.h"
#include "engine/sessions.h"
#include "session/session_file.h"
#include "support/random.h"

namespace precis::test {
namespace {

class SessionTest : public testing::Test {
 protected:
  // A prompt with its answer, saved; then another question. `options`: of the engine that loads.
  void expect_goes_on(const EngineOptions& options, const EngineOptions& other, std::int64_t prompt = 203) {
    const std::vector<std::int32_t> ids = small_ids(prompt);
    const std::vector<std::int32_t> question = small_ids(30, 11);
    std::vector<std::int32_t> all;
    Course expected;
    {
      Engine engine(options);
      all = joined(ids, run_one(engine, ids, 11).result.ids);
      const SessionInfo info = engine.save_session(file_, all, "a note");
      EXPECT_EQ(info.tokens, std::ssize(all) - 1);
      EXPECT_EQ(info.file_bytes, static_cast<std::int64_t>(std::filesystem::file_size(file_)));
      EXPECT_GT(info.kv_bytes, 0);
      expected = run_one(engine, joined(all, question), 12);
      expect_empty(engine);
    }
    EXPECT_EQ(expected.result.end.usage.reused_tokens, std::ssize(all) - 1);
    Engine engine(other);
    const LoadedSession loaded = engine.load_session(file_);
    EXPECT_EQ(loaded.ids, all);
    EXPECT_EQ(loaded.note, "a note");
    EXPECT_EQ(loaded.tokens, std::ssize(all) - 1);
    EXPECT_EQ(loaded.device, engine.device());
    EXPECT_EQ(engine.memory().cached_prefixes, 1);
    const Course course = run_one(engine, joined(all, question), 12);
    expect_same_course(course, expected);
    EXPECT_EQ(course.result.end.usage.reused_tokens, loaded.tokens);
    EXPECT_EQ(engine.memory().prefix_hits, 1);
    EXPECT_EQ(engine.memory().prefix_tokens, loaded.tokens);
    expect_empty(engine);
  }
  void expect_goes_on(const EngineOptions& options) { expect_goes_on(options, options); }

  TemporaryFolder folder_;
  const std::filesystem::path file_ = folder_.path() / "session";
};

class SessionModelTest : public SessionTest, public testing::WithParamInterface<std::string> {};

INSTANTIATE_TEST_SUITE_P(Models, SessionModelTest,
                         testing::Values("demo-ksa", "demo-dense", "families/qwen3", "families/llama",
                                         "families/mistral-window", "ksa-variants/base", "ksa-variants/k1",
                                         "ksa-variants/k5", "ksa-variants/k32", "ksa-variants/inner",
                                         "ksa-variants/pure", "ksa-variants/s2-right", "ksa-variants/s4-zeros",
                                         "ksa-variants/window0", "ksa-variants/shared"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::ranges::replace_if(
                               name, [](char c) { return c == '-' || c == '/'; }, '_');
                           return name;
                         });

TEST_P(SessionModelTest, GoesOnBitForBit) {
  EngineOptions options = session_options(model_folder(GetParam()));
  for (const char* type : {"f32", "bf16", "fp8"}) {
    SCOPED_TRACE(type);
    options.kv_cache_dtype = type;
    options.page_entries = std::string_view(type) == "fp8" ? 5 : 16;
    expect_goes_on(options);
  }
  options.compute = "f32";
  expect_goes_on(options);
}

TEST_P(SessionModelTest, AnInterruptedAnswerGoesOn) {
  const EngineOptions options = session_options(model_folder(GetParam()));
  Request request;
  request.ids = small_ids(150);
  request.max_tokens = 40;
  request.ignore_end = true;
  request.hash_logits = true;
  request.sampling.temperature = 1.5F;
  request.sampling.top_k = 40;
  request.sampling.top_p = 0.95F;
  request.sampling.seed = 7;
  request.sampling.repetition_penalty = 1.2F;
  request.sampling.frequency_penalty = 0.3F;
  Result whole;
  {
    Engine engine(options);
    Stream stream = engine.submit(request);
    whole = wait_for(stream);
  }
  for (const std::int64_t answered : {1, 13}) {
    Request begin = request;
    begin.max_tokens = answered;
    Result first;
    {
      Engine engine(options);
      Stream stream = engine.submit(begin);
      first = wait_for(stream);
      engine.save_session(file_, joined(request.ids, first.ids), "");
    }
    Engine engine(options);
    Request rest = request;
    rest.ids = engine.load_session(file_).ids;
    rest.answered = answered;
    rest.max_tokens -= answered;
    Stream stream = engine.submit(rest);
    const Result last = wait_for(stream);
    EXPECT_EQ(joined(first.ids, last.ids), whole.ids);
    EXPECT_EQ(last.end.usage.logits_hash, whole.end.usage.logits_hash);
    EXPECT_EQ(last.end.usage.reused_tokens, 150 + answered - 1);
    rest.answered = 0;  // it matters
    Stream other = engine.submit(rest);
    EXPECT_NE(joined(first.ids, wait_for(other).ids), whole.ids);
  }
}

TEST_F(SessionTest, TheTextOfAnInterruptedAnswerGoesOn) {
  Engine engine(session_options(model_folder("demo-dense")));
  Request request = greedy_request(engine.text().encode("It was the best of times, it was", true), 30);
  Stream stream = engine.submit(request);
  const Result whole = wait_for(stream);
  for (std::size_t answered = 1; answered < 30; ++answered) {
    Request rest = request;
    rest.ids.insert(rest.ids.end(), whole.ids.begin(), whole.ids.begin() + static_cast<std::ptrdiff_t>(answered));
    rest.answered = static_cast<std::int64_t>(answered);
    rest.max_tokens -= rest.answered;
    Stream again = engine.submit(rest);
    const Result last = wait_for(again);
    EXPECT_TRUE(whole.text.ends_with(last.text)) << last.text;
    EXPECT_EQ(last.ids, (std::vector<std::int32_t>(whole.ids.begin() + rest.answered, whole.ids.end())));
  }
  for (const std::int64_t answered : {std::int64_t{-1}, std::ssize(request.ids)}) {
    request.answered = answered;
    expect_error([&] { engine.submit(request); }, {"answered: ", "expected from 0 to"});
  }
}

TEST_F(SessionTest, SelectionGoesOnWithItsShortKeys) {
  for (const char* model : {"demo-ksa", "demo-dense"}) {
    for (const char* layers : {"full", "all"}) {
      if (model == std::string_view("demo-dense") && layers == std::string_view("all")) continue;  // the same there
      SCOPED_TRACE(model);
      SCOPED_TRACE(layers);
      EngineOptions options = session_options(model_folder(model));
      options.esa = "on";
      options.esa_initial = 4;
      options.esa_local = 16;
      options.esa_top = 12;
      options.esa_layers = layers;
      EngineOptions far = options;
      far.kv_offload = folder_.path() / "far";
      expect_goes_on(options);
      expect_goes_on(options, far);
      expect_goes_on(far, options);
      expect_goes_on(far);
    }
  }
}

TEST_F(SessionTest, OwedSummariesStayOwed) {
  for (const char* model : {"demo-ksa", "ksa-variants/base", "ksa-variants/s2-right"}) {
    SCOPED_TRACE(model);
    EngineOptions options = session_options(model_folder(model));
    options.summary_delay = 3;
    const std::vector<std::int32_t> ids = small_ids(61);
    std::vector<std::int32_t> all;
    Course expected;
    {
      Engine engine(options);
      all = joined(ids, run_one(engine, ids, 19).result.ids);
      engine.save_session(file_, all, "");
      expected = run_one(engine, joined(all, {5}), 20);
    }
    SessionReader reader(file_);
    // One token before the next chunk ends, which all of these must have summarised by then at the latest.
    EXPECT_EQ(reader.head().tokens, 79);
    EXPECT_EQ(reader.head().summarised, 61 / 8);
    Engine engine(options);
    engine.load_session(file_);
    expect_same_course(run_one(engine, joined(all, {5}), 20), expected);
    options.summary_delay = 0;
    Engine prompt(options);
    EXPECT_NE(load_refusal(prompt, file_).find("it owes the summaries of "), std::string::npos);
    expect_empty(prompt);
  }
}

TEST_F(SessionTest, WhatIsNotCachedIsComputedAgain) {
  const EngineOptions options = session_options(model_folder("ksa-variants/base"));
  Engine engine(options);
  const std::vector<std::int32_t> ids = small_ids(150);
  EXPECT_EQ(engine.save_session(file_, ids, "n").tokens, 0);
  Engine other(options);
  LoadedSession loaded = other.load_session(file_);
  EXPECT_EQ(loaded.tokens, 0);
  EXPECT_EQ(loaded.ids, ids);
  EXPECT_EQ(other.memory().cached_prefixes, 0);
  const Course expected = run_one(engine, ids, 4);
  // Ids that go apart from what is cached: as far as a sequence can set in.
  std::vector<std::int32_t> apart(ids.begin(), ids.begin() + 100);
  apart.push_back(5);
  EXPECT_EQ(engine.save_session(file_, apart, "n").tokens, 64);
  EXPECT_EQ(engine.save_session(file_, {}, "").tokens, 0);
  EXPECT_EQ(other.load_session(file_).ids.size(), 0U);
  engine.save_session(file_, ids, "");
  EXPECT_EQ(other.load_session(file_).tokens, 150);
  const Course course = run_one(other, ids, 4);
  expect_same_course(course, expected);
  EXPECT_EQ(course.result.end.usage.reused_tokens, 149);
}

TEST_F(SessionTest, AnotherEnginesSessionIsRefused) {
  const EngineOptions options = session_options(model_folder("ksa-variants/base"));
  {
    Engine engine(options);
    const std::vector<std::int32_t> ids = small_ids(200);
    run_one(engine, ids, 1);
    engine.save_session(file_, ids, "");
    EXPECT_EQ(load_refusal(engine, file_), "");
  }
  const auto expect = [&](const std::function<void(EngineOptions&)>& change, const std::string& part) {
    SCOPED_TRACE(part);
    EngineOptions other = options;
    change(other);
    Engine engine(other);
    run_one(engine, small_ids(40, 5), 2);
    const MemoryReport before = settled_memory(engine, folder_.path() / "none");
    EXPECT_NE(load_refusal(engine, file_).find(part), std::string::npos) << load_refusal(engine, file_);
    EXPECT_EQ(engine.memory().pages_used, before.pages_used);
    EXPECT_EQ(engine.memory().cached_prefixes, before.cached_prefixes);
    expect_empty(engine);
  };
  expect([](auto& of) { of.model = model_folder("ksa-variants/norm"); }, "config.json: saved with ");
  expect([](auto& of) { of.model = model_folder("families/qwen3"); }, "config.json: saved with ");
  expect([](auto& of) { of.kv_cache_dtype = "f32"; }, "kv_cache_dtype: saved with bf16, this engine has f32");
  expect([](auto& of) { of.page_entries = 8; }, "page_entries: saved with 16, this engine has 8");
  expect([](auto& of) { of.weights = "q8"; }, "weights: saved with as stored, this engine has q8");
  expect([](auto& of) { of.weights = "q4"; }, "weights: saved with as stored, this engine has q4 (version 3)");
  const auto six_bits = [](auto& of) {
    of.weights = "q4";
    of.bits = 6;
  };
  expect(six_bits, "weights: saved with as stored, this engine has q4, 6 bits (version 3)");
  expect([](auto& of) { of.compute = "f32", of.kv_cache_dtype = "bf16"; }, "compute: saved with bf16, this engine");
  expect([](auto& of) { of.rope_frequencies = "bf16"; }, "rope_frequencies: saved with f32, this engine has bf16");
  expect([](auto& of) { of.backend = "reference"; }, "backend: saved with cpu, this engine has reference");
  expect([](auto& of) { of.dummy_weights = true; }, "model: saved with ");
  expect([](auto& of) { of.context = 100; }, "tokens: 200, expected at most the context's 100");
  expect([](auto& of) { of.prefix_cache = false; }, "prefix_cache: off, expected on");
  expect([](auto& of) { of.prefix_cache_memory = 1000; }, "expected at most prefix_cache_memory, 1.00 kB");
}

// The same geometry and config.json, and one number of one tensor is another.
TEST_F(SessionTest, OtherWeightsAreRefused) {
  EngineOptions options = session_options(model_folder("ksa-variants/base"));
  {
    Engine engine(options);
    run_one(engine, small_ids(50), 1);
    engine.save_session(file_, small_ids(50), "");
  }
  const std::filesystem::path copy = folder_.path() / "copy";
  std::filesystem::copy(options.model, copy, std::filesystem::copy_options::recursive);
  options.model = copy;
  {
    Engine engine(options);
    EXPECT_EQ(load_refusal(engine, file_), "");
  }
  std::string tensors = file_content(copy / "model.safetensors");
  tensors[tensors.size() - 2] = static_cast<char>(tensors[tensors.size() - 2] ^ 1);
  std::ofstream(copy / "model.safetensors", std::ios::binary) << tensors;
  Engine engine(options);
  EXPECT_NE(load_refusal(engine, file_).find("model: saved with "), std::string::npos);
}

// Every cut and 1,000 flipped bits, with an engine that has something to lose: its pool is full of what is cached.
TEST_F(SessionTest, DamagedFilesLeaveTheEngineAsItWas) {
  EngineOptions options = session_options(model_folder("ksa-variants/base"));
  {
    Engine engine(options);
    run_one(engine, small_ids(300), 1);
    engine.save_session(file_, small_ids(300), "note");
  }
  const std::string content = file_content(file_);
  Engine engine(options);
  for (std::int32_t step = 2; engine.memory().prefix_evictions == 0; ++step) {
    run_one(engine, small_ids(140, step * 2 + 1), 1);
  }
  const MemoryReport before = settled_memory(engine, folder_.path() / "none");
  const auto expect_refused = [&](const std::string& changed) {
    const std::filesystem::path path = folder_.write("changed", changed);
    ASSERT_NE(load_refusal(engine, path), "");
    const MemoryReport after = engine.memory();
    ASSERT_EQ(after.pages_used, before.pages_used);
    ASSERT_EQ(after.cached_prefixes, before.cached_prefixes);
    ASSERT_EQ(after.prefix_evictions, before.prefix_evictions);
  };
  for (std::size_t size = 0; size < content.size(); size += 4096) expect_refused(content.substr(0, size));
  Random random(3);
  for (int i = 0; i < 1000; ++i) {
    const std::size_t head = 48 + 2000;
    const auto at =
        static_cast<std::size_t>(random.below(static_cast<std::int64_t>(random.chance(0.5) ? head : content.size())));
    std::string changed = content;
    changed[at] = static_cast<char>(changed[at] ^ (1 << random.below(8)));
    expect_refused(changed);
  }
  EXPECT_EQ(load_refusal(engine, file_), "");
  EXPECT_GT(engine.memory().prefix_evictions, before.prefix_evictions);
  expect_empty(engine);
}

TEST_F(SessionTest, ADeviceThatFailsLeavesThePoolAsItWas) {
  const EngineOptions options = session_options(model_folder("ksa-variants/base"));
  const auto hooks = std::make_shared<DeviceHooks>();
  EngineThread engine(options, [&](const EngineOptions&) { return std::make_unique<HookedDevice>(hooks); });
  const std::vector<std::int32_t> ids = small_ids(100);
  std::vector<Request> requests = {greedy_request(ids, 1)};
  wait_for(engine.submit(std::move(requests)).front());
  engine.save_session(file_, ids, "");
  const std::string saved = file_content(file_);
  engine.load_session(file_);
  const std::int64_t used = engine.memory().pages_used;
  for (const char* operation : {"on_host", "to_device"}) {
    hooks->before = [&](std::string_view of) {
      if (of == operation) fail("made to fail");
    };
    if (operation == std::string_view("on_host")) {
      expect_error([&] { engine.save_session(file_, ids, "new"); }, {"made to fail"});
    } else {
      expect_error([&] { engine.load_session(file_); }, {"made to fail"});
    }
    EXPECT_EQ(file_content(file_), saved);
    EXPECT_EQ(engine.memory().pages_used, used);
    hooks->before = [](std::string_view) {};
  }
  engine.load_session(file_);
}

TEST_F(SessionTest, ALostDeviceSaysSo) {
  const EngineOptions options = session_options(model_folder("ksa-variants/base"));
  const auto hooks = std::make_shared<DeviceHooks>();
  EngineThread engine(options, [&](const EngineOptions&) { return std::make_unique<HookedDevice>(hooks); });
  const std::vector<std::int32_t> ids = small_ids(100);
  std::vector<Request> requests = {greedy_request(ids, 1)};
  wait_for(engine.submit(std::move(requests)).front());
  hooks->before = [](std::string_view) { throw DeviceLost("gone"); };
  expect_error([&] { engine.save_session(file_, ids, ""); }, {"gone"});
  expect_error([&] { engine.save_session(file_, ids, ""); }, {"the device is lost, ", "gone"});
  EXPECT_FALSE(std::filesystem::exists(file_));
  requests = {greedy_request(ids, 1)};
  EXPECT_EQ(wait_for(engine.submit(std::move(requests)).front()).end.reason, EndReason::failed);
}

// Others decode meanwhile, and nobody notices.
TEST_F(SessionTest, SavedAndLoadedWhileOthersRun) {
  EngineOptions options = session_options(model_folder("demo-ksa"));
  options.max_sequences = 3;
  std::vector<Course> expected;
  for (const std::int32_t step : {3, 5}) expected.push_back(run_alone(options, small_ids(120, step), 150));
  Engine engine(options);
  const std::vector<std::int32_t> ids = small_ids(300, 13);
  run_one(engine, ids, 1);
  std::vector<Course> courses(2);
  std::thread others([&] { courses = run_together(engine, {small_ids(120, 3), small_ids(120, 5)}, 150); });
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(engine.save_session(file_, ids, std::to_string(i)).tokens, 300);
    EXPECT_EQ(engine.load_session(file_).note, std::to_string(i));
  }
  others.join();
  for (std::size_t i = 0; i < 2; ++i) expect_same_course(courses[i], expected[i]);
  expect_empty(engine);
}

}  // namespace
}  // namespace precis::test
