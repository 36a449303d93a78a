// What a later request takes over from earlier ones, at any cut, and what happens when the pool is too small for all.
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "engine/sessions.h"

namespace precis::test {
namespace {

class PrefixReuse : public testing::TestWithParam<std::string> {
 protected:
  // A document of 600 tokens has been read; others begin with its first `cut` tokens.
  void compare(std::int64_t first, std::int64_t step, int distance) {
    EngineOptions options = session_options(model_folder(GetParam()));
    options.context = 640;
    options.prefix_distance = distance;
    options.max_sequences = 4;
    EngineOptions scratch = options;
    scratch.prefix_cache = false;
    options.kv_memory = 64 << 20;
    Engine engine(options);
    Engine alone(scratch);
    const std::vector<std::int32_t> document = some_ids(600);
    run_one(engine, document, 0);
    for (std::int64_t cut = first; cut <= 600; cut += step) {
      SCOPED_TRACE(cut);
      std::vector<std::int32_t> ids(document.begin(), document.begin() + cut);
      ids.insert(ids.end(), {7000, 7001});  // the document has none of these
      Request request = greedy_request(ids, 3);
      request.keep_prefix = false;  // all set in on the document's own snapshots
      Stream stream = engine.submit(request);
      const Result result = wait_for(stream);
      Stream again = alone.submit(request);
      const Result expected = wait_for(again);
      ASSERT_EQ(result.ids, expected.ids);
      ASSERT_EQ(result.end.usage.logits_hash, expected.end.usage.logits_hash);
      const std::int64_t reused = result.end.usage.reused_tokens;
      ASSERT_LE(reused, cut);
      ASSERT_GT(reused + distance, GetParam() == "demo-dense" ? cut + distance - 1 : cut);
    }
    // Both of them again, whole: the last token alone is computed.
    EXPECT_EQ(run_one(engine, document, 1).result.end.usage.reused_tokens, 599);
    expect_empty(engine);
  }
};

class PrefixReuseTest : public PrefixReuse {};
class PrefixReuseLongTest : public PrefixReuse {};
INSTANTIATE_TEST_SUITE_P(Demo, PrefixReuseTest, testing::Values("demo-ksa", "demo-dense"), name_of_model);
INSTANTIATE_TEST_SUITE_P(Demo, PrefixReuseLongTest, testing::Values("demo-ksa", "demo-dense"), name_of_model);

// Cuts within a chunk and at its end, whose restart lies within a chunk or at its end.
TEST_P(PrefixReuseTest, AtSomeCuts) {
  compare(1, 67, 64);
  compare(44, 139, 11);
}
TEST_P(PrefixReuseLongTest, AtEveryCut) {
  compare(1, 1, 64);
}
// Snapshots lie within chunks. Every seventh cut, from another one each time: a failure says which.
TEST_P(PrefixReuseLongTest, AtCutsBehindSnapshotsWithinChunks) {
  compare(1 + std::random_device{}() % 7, 7, 11);
}

// A prompt that ends with a chunk, asked again.
TEST(PrefixCacheEngineTest, TheSamePromptComputesItsLastTokenAgain) {
  for (const char* model : {"demo-ksa", "ksa-variants/base", "families/mistral-window"}) {
    SCOPED_TRACE(model);
    Engine engine(session_options(model_folder(model)));
    for (const std::int64_t length : {96, 101, 160}) {
      const std::vector<std::int32_t> ids = small_ids(length, 3);
      const Course first = run_one(engine, ids, 3);
      const Course second = run_one(engine, ids, 3);
      EXPECT_EQ(second.result.end.usage.reused_tokens, length - 1);
      expect_same_course(second, first);
    }
  }
}

TEST(PrefixCacheEngineTest, NoMoreThanTheBudget) {
  EngineOptions options = session_options(model_folder("demo-ksa"));
  options.kv_memory = 64 << 20;
  options.prefix_cache_memory = 2 << 20;
  Engine engine(options);
  std::int64_t most = 0;
  for (std::int32_t step = 1; step < 12; ++step) {
    run_one(engine, small_ids(160, step), 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // the report comes after the end
    most = std::max(most, engine.memory().cached_bytes);
  }
  EXPECT_LE(most, options.prefix_cache_memory);
  EXPECT_GT(most, options.prefix_cache_memory / 2);
  EXPECT_GT(engine.memory().prefix_evictions, 0);
  const MemoryReport before = engine.memory();
  EXPECT_EQ(run_one(engine, small_ids(160, 11), 2).result.end.usage.reused_tokens, 159);
  expect_empty(engine);
  EXPECT_EQ(engine.memory().prefix_hits, before.prefix_hits + 1);
  EXPECT_EQ(engine.memory().prefix_tokens, before.prefix_tokens + 159);
  EXPECT_EQ(engine.memory().prefix_evictions, before.prefix_evictions);  // what is dropped by request is none
}

// Chats about documents: each asks three questions, with all that was said before. All ask at once.
struct Chats {
  std::vector<std::vector<std::int32_t>> ids;  // so far

  Chats(std::int32_t first, std::int32_t count) : first_(first) {
    for (std::int32_t name = first; name < first + count; ++name) ids.push_back(small_ids(200, 2 * (name % 4) + 3));
  }

  void ask(Engine& engine) {
    for (std::int32_t question = 0; question < 3; ++question) {
      std::vector<Request> requests;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const std::int32_t name = first_ + static_cast<std::int32_t>(i);
        ids[i] = joined(std::move(ids[i]), small_ids(20, 2 * name + question + 3));
        requests.push_back(greedy_request(ids[i], 60));
      }
      std::vector<Stream> streams = engine.submit(std::move(requests));
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const Result result = wait_for(streams[i]);
        EXPECT_EQ(result.end.error, "");
        EXPECT_EQ(result.ids.size(), 60U);
        ids[i] = joined(std::move(ids[i]), result.ids);
      }
    }
  }

 private:
  std::int32_t first_;
};

TEST(PrefixCacheEngineTest, EightChatsOverFourDocumentsInHalfTheMemory) {
  constexpr std::int32_t count = 8;
  for (const char* model : {"ksa-variants/base", "families/qwen3"}) {
    SCOPED_TRACE(model);
    EngineOptions options = session_options(model_folder(model));
    std::vector<std::vector<std::int32_t>> expected;
    for (std::int32_t name = 0; name < count; ++name) {
      Engine alone(options);
      Chats chat(name, 1);
      chat.ask(alone);
      expected.push_back(chat.ids.front());
    }
    // What all need at their end, and half of it.
    options.max_sequences = count;
    options.context = std::ssize(expected.front());
    {
      Engine engine(options);
      options.kv_memory = engine.memory().pool_bytes / 2;
    }
    Engine engine(options);
    Chats chats(0, count);
    chats.ask(engine);
    EXPECT_EQ(chats.ids, expected);
    EXPECT_GT(engine.memory().preemptions, 0);
    EXPECT_GT(engine.memory().prefix_evictions, 0);
    EXPECT_GT(engine.memory().prefix_hits, 0);
    expect_empty(engine);
  }
}

}  // namespace
}  // namespace precis::test
