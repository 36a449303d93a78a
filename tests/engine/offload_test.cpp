// K and V of text in far memory (EngineOptions::kv_offload): the same bits as without, whatever happens to a request,
// and what is refused.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "checkpoint/hand_made.h"
#include "engine/courses.h"
#include "engine/deferred_device.h"
#include "engine/engine_thread.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

class OffloadTest : public testing::Test {
 protected:
  EngineOptions options_of(const std::string& model) const {
    EngineOptions options;
    options.model = models_folder() / model;
    options.backend = "cpu";
    options.threads = 2;
    options.context = 700;
    options.piece = 48;
    options.prefix_cache = false;
    options.esa = "on";
    options.esa_initial = 4;
    options.esa_local = 16;
    options.esa_top = 12;
    return options;
  }

  EngineOptions offloaded(EngineOptions options) const {
    options.kv_offload = folder_.path() / "kv";
    return options;
  }

  std::string refusal(const EngineOptions& options) const {
    try {
      Engine engine(options);
      return "";
    } catch (const std::exception& error) {
      return error.what();
    }
  }

  TemporaryFolder folder_;
};

void expect_same_bits(const Course& course, const Course& expected) {
  EXPECT_EQ(course.result.end.error, "");
  EXPECT_EQ(course.result.ids, expected.result.ids);
  EXPECT_EQ(course.result.end.usage.logits_hash, expected.result.end.usage.logits_hash);
  EXPECT_EQ(course.rows, expected.rows);
  EXPECT_GT(course.result.end.usage.kv.far_bytes, 0);
  EXPECT_EQ(expected.result.end.usage.kv.far_bytes, 0);
}

class OffloadModelTest : public OffloadTest, public testing::WithParamInterface<std::string> {};
class OffloadModelLongTest : public OffloadModelTest {};

INSTANTIATE_TEST_SUITE_P(Demo, OffloadModelTest, testing::Values("demo-ksa", "demo-dense"), name_of_model);
INSTANTIATE_TEST_SUITE_P(Demo, OffloadModelLongTest, testing::Values("demo-ksa", "demo-dense"), name_of_model);

TEST_P(OffloadModelLongTest, TheSameBitsInABatch) {
  EngineOptions options = options_of(GetParam());
  const std::vector<std::vector<std::int32_t>> prompts = {some_ids(180), some_ids(20, 11), some_ids(131, 5),
                                                          some_ids(433, 3)};
  options.max_sequences = 4;
  for (const char* positions : {"absolute", "packed", "fixed"}) {
    for (const char* type : {"auto", "f32", "fp8"}) {
      SCOPED_TRACE(positions);
      SCOPED_TRACE(type);
      options.esa_positions = positions;
      options.kv_cache_dtype = type;
      Engine near(options);
      Engine far(offloaded(options));
      const std::vector<Course> expected = run_together(near, prompts, 20);
      const std::vector<Course> courses = run_together(far, prompts, 20);
      for (std::size_t i = 0; i < prompts.size(); ++i) expect_same_bits(courses[i], expected[i]);
    }
  }
}

TEST_P(OffloadModelTest, TheSameBitsOnTheReference) {
  EngineOptions options = options_of(GetParam());
  options.backend = "reference";
  options.context = 120;
  expect_same_bits(run_alone(offloaded(options), some_ids(90), 3), run_alone(options, some_ids(90), 3));
}

TEST_P(OffloadModelTest, TheSameBitsPreempted) {
  EngineOptions options = options_of(GetParam());
  options.deterministic = true;
  options.context = 400;
  const std::vector<std::vector<std::int32_t>> prompts = {some_ids(150), some_ids(190, 11)};
  std::vector<Course> alone;
  for (const auto& prompt : prompts) alone.push_back(run_alone(options, prompt, 200));
  EngineOptions narrow = offloaded(options);
  {
    Engine engine(narrow);
    narrow.kv_memory = engine.memory().pool_bytes * 8 / 5;
  }
  narrow.max_sequences = 2;
  Engine engine(narrow);
  const std::vector<Course> together = run_together(engine, prompts, 200);
  int preemptions = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    expect_same_bits(together[i], alone[i]);
    preemptions += together[i].result.end.usage.preemptions;
  }
  EXPECT_GT(preemptions, 0);
}

// What is shared is copied before one of its holders writes to it: K, V and k'.
TEST_P(OffloadModelTest, TheSameBitsOnASharedPrefix) {
  EngineOptions options = options_of(GetParam());
  options.deterministic = true;
  options.prefix_cache = true;
  options.prefix_distance = 96;
  options.max_sequences = 3;
  const std::vector<std::int32_t> first = some_ids(286);
  std::vector<std::vector<std::int32_t>> others;
  for (const std::int32_t step : {13, 17, 19}) {
    others.emplace_back(first.begin(), first.begin() + 245);
    for (std::int32_t i = 0; i < 40; ++i) others.back().push_back(300 + step * i);
  }
  Engine engine(offloaded(options));
  run_together(engine, {first}, 10);
  const std::vector<Course> shared = run_together(engine, others, 10);
  for (std::size_t i = 0; i < others.size(); ++i) {
    EXPECT_GT(shared[i].result.end.usage.reused_tokens, 90);
    expect_same_bits(shared[i], run_alone(options, others[i], 10));
  }
}

TEST_P(OffloadModelTest, TheSameTokensLaunchedAhead) {
  const EngineOptions options = options_of(GetParam());
  const auto hooks = std::make_shared<DeferredHooks>();
  EngineThread engine(offloaded(options),
                      [&](const EngineOptions& of) { return std::make_unique<DeferredDevice>(of, "cpu", hooks); });
  std::vector<Stream> streams = engine.submit({greedy_request(some_ids(180), 30)});
  const Result result = wait_for(streams.front());
  EXPECT_GT(hooks->launched_ahead, 10);
  EXPECT_EQ(result.ids, run_alone(options, some_ids(180), 30).result.ids);
}

// Summary layers choose among summaries, which stay near with their k'.
TEST_F(OffloadTest, SummaryLayersStayNear) {
  EngineOptions options = options_of("demo-ksa");
  options.esa_layers = "all";
  options.esa_initial = 1;
  options.esa_local = 3;
  options.esa_top = 2;
  for (const int delay : {0, 5}) {
    options.summary_delay = delay;
    expect_same_bits(run_alone(offloaded(options), some_ids(420), 40), run_alone(options, some_ids(420), 40));
  }
}

TEST_F(OffloadTest, ReportsTellBothMemoriesApart) {
  const EngineOptions options = options_of("demo-ksa");
  Engine near(options);
  Engine far(offloaded(options));
  const KvReport all = run_together(near, {some_ids(400)}, 5).front().result.end.usage.kv;
  const KvReport parts = run_together(far, {some_ids(400)}, 5).front().result.end.usage.kv;
  EXPECT_EQ(all.far_bytes, 0);
  EXPECT_EQ(all.device_bytes, all.held_bytes);
  EXPECT_EQ(parts.formula_bytes, all.formula_bytes);
  EXPECT_EQ(parts.held_bytes, parts.device_bytes + parts.far_bytes);
  // Three full layers: K and V of their entries are far, k' is not. bf16, two KV heads of 64, 64 numbers of k'.
  const KvKind& text = parts.kinds.front();
  EXPECT_EQ(parts.far_bytes, text.held_entries * 2 * 2 * 64 * 2);
  std::int64_t others = text.held_entries * 64 * 2;
  for (const KvKind& kind : parts.kinds) {
    if (&kind != &text) others += kind.held_entries * 2 * 2 * 64 * 2;
  }
  EXPECT_EQ(parts.device_bytes, others);

  const MemoryReport memory = far.memory();
  EXPECT_GT(memory.far_pages, 0);
  EXPECT_EQ(memory.far_bytes, memory.far_pages * memory.far_page_bytes);
  EXPECT_EQ(memory.far_page_bytes, 3 * 16 * 2 * 2 * 64 * 2);
  EXPECT_EQ(memory.pool_bytes, memory.pages * memory.page_bytes + memory.far_pages * 3 * 16 * 64 * 2);
  EXPECT_EQ(near.memory().far_bytes, 0);
  EXPECT_LT(memory.pool_bytes, near.memory().pool_bytes);
}

// kv_memory counts the device's own memory; far pages are as many as can be used with it, and no more than all
// sequences need.
TEST_F(OffloadTest, KvMemoryIsTheDevicesOwn) {
  for (const char* model : {"demo-ksa", "demo-dense"}) {
    EngineOptions options = offloaded(options_of(model));
    options.max_sequences = 4;
    const MemoryReport whole = Engine(options).memory();
    const auto with = [&](std::int64_t bytes) {
      EngineOptions narrow = options;
      narrow.kv_memory = bytes;
      return Engine(narrow).memory();
    };
    const MemoryReport half = with(whole.pool_bytes / 2);
    EXPECT_LE(half.pool_bytes, whole.pool_bytes / 2);
    EXPECT_GT(half.pool_bytes, whole.pool_bytes * 2 / 5);
    EXPECT_NEAR(static_cast<double>(half.far_pages), static_cast<double>(whole.far_pages) / 2, 3);
    const MemoryReport much = with(3 * whole.pool_bytes);
    EXPECT_EQ(much.far_pages, whole.far_pages);
    options.kv_memory = whole.pool_bytes / 5;
    EXPECT_NE(refusal(options).find("tokens do not fit"), std::string::npos) << refusal(options);
  }
}

TEST_F(OffloadTest, TheFileIsGoneAtOnce) {
  const EngineOptions options = offloaded(options_of("demo-dense"));
  const Engine engine(options);
  EXPECT_FALSE(std::filesystem::exists(*options.kv_offload));
  const Engine other(options);  // of the same name
}

TEST_F(OffloadTest, AFileWithSomethingInItIsLeftAlone) {
  const EngineOptions options = offloaded(options_of("demo-dense"));
  std::ofstream(*options.kv_offload) << "a book";
  EXPECT_EQ(refusal(options), "kv_offload: " + options.kv_offload->string() + ": 6 B are in it, expected a new file");
  EXPECT_EQ(std::filesystem::file_size(*options.kv_offload), 6u);
  std::ofstream(*options.kv_offload, std::ios::trunc);
  EXPECT_EQ(refusal(options), "");  // an empty one is taken
}

TEST_F(OffloadTest, WhatCannotBeIsRefused) {
  const auto expect = [&](auto change, const std::string& part) {
    EngineOptions options = offloaded(options_of("demo-ksa"));
    change(options);
    const std::string message = refusal(options);
    EXPECT_TRUE(message.starts_with("kv_offload: ")) << message;
    EXPECT_NE(message.find(part), std::string::npos) << message << ", expected " << part;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  };
  expect([](auto& of) { of.esa = "off"; }, "esa is off, expected on");
  expect([](auto& of) { of.esa = "auto", of.model = data_folder() / "families" / "qwen3"; },
         "esa is auto, and " + (data_folder() / "families" / "qwen3").string() + " has no esa.safetensors");
  expect([](auto& of) { of.context = 32; }, "esa_initial + esa_local + esa_top = 32 tokens, not 32");
  expect([](auto& of) { of.kv_offload = ""; }, "no FILE, expected one on this backend");
  expect([](auto& of) { of.kv_offload = "", of.backend = "reference"; }, "no FILE, expected one on this backend");
  expect([](auto& of) { of.kv_offload = "/nowhere/kv"; }, "/nowhere/kv: cannot be created: No such file or directory");
  expect([&](auto& of) { of.kv_offload = folder_.path(); }, "cannot be created: Is a directory");
  expect([](auto& of) { of.kv_offload = "/dev/null"; }, "/dev/null: not a regular file");
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "kv"));
}

TEST_F(OffloadTest, MoreThanTheDiskHasIsRefused) {
  constexpr std::int64_t more_than_any = 35'000'000'000'000;
  const auto device = open_backend("cpu", {.threads = 1});
  try {
    device->allocate_far(more_than_any, folder_.path() / "kv");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("/kv: no room for 35.0 TB"), std::string::npos) << error.what();
  }
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "kv"));
}

}  // namespace
}  // namespace precis::test
