// EngineOptions::deterministic: the same bits alone, in a batch, however a prompt is cut, preempted, and on a cached
// prefix. On the backend that PRECIS_TEST_BACKEND names; on the CPU that is so anyway. And on one whose bits tell
// decoded rows from a prompt's, as a GPU's do.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "engine/answers.h"
#include "engine/engine_thread.h"
#include "engine/hooked_device.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

constexpr std::int64_t answer = 40;

struct Variant {
  std::string name;
  std::filesystem::path model;
  std::string kv_cache_dtype = "auto";
  std::string weights = {};
  std::string compute = "bf16";
  bool told_apart = false;  // on a CPU that goes by RowRun::decoded
  bool grows = true;        // longer sequences hold more
};

std::vector<Variant> variants() {
  const auto models = models_folder();
  const auto families = data_folder() / "families";
  const auto ksa = data_folder() / "ksa-variants";
  return {{.name = "DemoKsa", .model = models / "demo-ksa"},
          {.name = "DemoDense", .model = models / "demo-dense"},
          {.name = "DemoKsaInBytes", .model = models / "demo-ksa", .kv_cache_dtype = "fp8", .weights = "q8"},
          {.name = "DemoDenseInFloats", .model = models / "demo-dense", .compute = "f32"},
          {.name = "Qwen3", .model = families / "qwen3"},
          {.name = "MistralWindow", .model = families / "mistral-window", .weights = "q4", .grows = false},
          {.name = "KsaNorm", .model = ksa / "norm"},
          {.name = "KsaNormInQ8", .model = ksa / "norm", .weights = "q8"},
          {.name = "KsaFourSummaries", .model = ksa / "s4-zeros"},
          {.name = "KsaMixed", .model = ksa / "mix-half", .kv_cache_dtype = "fp8"},
          {.name = "Qwen3ToldApart", .model = families / "qwen3", .told_apart = true},
          {.name = "MistralWindowToldApart", .model = families / "mistral-window", .told_apart = true, .grows = false},
          {.name = "KsaToldApart", .model = ksa / "base", .told_apart = true},
          {.name = "KsaFourSummariesToldApart", .model = ksa / "s4-zeros", .told_apart = true}};
}

// Prompt and answer, with the logits after the prompt and after each token of the answer.
struct Course {
  LogitRows rows;
  Result result;
};

using Ids = std::vector<std::int32_t>;

class DeterministicLongTest : public testing::TestWithParam<Variant> {
 protected:
  DeterministicLongTest() {
    EngineOptions opened = options();
    EngineThread engine(opened, open_own);
    vocabulary_ = engine.prompt_vocabulary();
    pool_bytes_ = engine.memory().pool_bytes;
    for (const std::int64_t length : {1, 2, 7, 8, 33, 64, 65, 120, 200, 290, 321})
      prompts_.push_back(random_ids(length));
    for (std::size_t i = 0; i < prompts_.size(); ++i) whole_.push_back(run(engine, prompts_[i], i));
  }

  static EngineOptions options() {
    EngineOptions options;
    options.model = GetParam().model;
    options.backend = test_backend();
    options.deterministic = true;
    options.kv_cache_dtype = GetParam().kv_cache_dtype;
    options.weights = GetParam().weights;
    options.compute = GetParam().compute;
    options.threads = 2;
    options.context = 420;
    options.prefix_cache = false;
    return options;
  }

  static std::unique_ptr<Device> open_own(const EngineOptions& options) {
    if (!GetParam().told_apart) return open_device(options);
    auto hooks = std::make_shared<DeviceHooks>();
    hooks->goes_by_decoded = true;
    return std::make_unique<HookedDevice>(hooks);
  }

  static Stream submit(EngineThread& engine, Request request) {
    std::vector<Request> one;
    one.push_back(std::move(request));
    return std::move(engine.submit(std::move(one)).front());
  }

  Ids random_ids(std::int64_t length) {
    Ids ids;
    std::uniform_int_distribution<std::int32_t> any(0, static_cast<std::int32_t>(vocabulary_) - 1);
    while (static_cast<std::int64_t>(ids.size()) < length) ids.push_back(any(random_));
    return ids;
  }

  // Every second one draws its tokens.
  static Request request_of(const Ids& ids, std::size_t index) {
    Request request = greedy_request(ids, answer);
    if (index % 2 == 1) {
      request.sampling.temperature = 1;
      request.sampling.seed = index;
    }
    return request;
  }

  static Course run(EngineThread& engine, const Ids& ids, std::size_t index) {
    Course course;
    Request request = request_of(ids, index);
    collect(request, course.rows, false);
    Stream stream = submit(engine, std::move(request));
    course.result = wait_for(stream);
    return course;
  }

  static void expect_same(const Course& course, const Course& whole, const std::string& name) {
    ASSERT_EQ(course.result.end.error, "") << name;
    ASSERT_EQ(course.rows.size(), whole.rows.size()) << name;
    for (const auto& [index, row] : whole.rows) {
      const std::vector<float>& other = course.rows.at(index);
      ASSERT_TRUE(other == row) << name << ", index " << index << ": off by " << max_difference(other, row);
    }
    ASSERT_EQ(course.result.ids, whole.result.ids) << name;
  }

  // All prompts at once, each `times` times.
  std::vector<Course> run_together(EngineThread& engine, std::size_t times = 1) const {
    std::vector<Course> courses(prompts_.size() * times);
    std::vector<Request> requests;
    for (std::size_t i = 0; i < courses.size(); ++i) {
      requests.push_back(request_of(prompts_[i % prompts_.size()], i % prompts_.size()));
      collect(requests.back(), courses[i].rows, false);
    }
    std::vector<Stream> streams = engine.submit(std::move(requests));
    for (std::size_t i = 0; i < courses.size(); ++i) courses[i].result = wait_for(streams[i]);
    return courses;
  }

  void expect_all_same(const std::vector<Course>& courses, const std::string& name) const {
    for (std::size_t i = 0; i < courses.size(); ++i) {
      const std::size_t prompt = i % prompts_.size();
      expect_same(courses[i], whole_[prompt], fmt::format("{}, prompt of {}", name, prompts_[prompt].size()));
      if (HasFatalFailure()) return;
    }
  }

  // Fresh at each run; PRECIS_TEST_SEED repeats one that failed.
  static std::uint64_t fresh_seed() {
    const char* given = std::getenv("PRECIS_TEST_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  }

  std::uint64_t seed_ = fresh_seed();
  testing::ScopedTrace trace_{__FILE__, __LINE__, "PRECIS_TEST_SEED=" + std::to_string(seed_)};
  std::mt19937_64 random_{seed_};
  std::int64_t vocabulary_ = 0;
  std::int64_t pool_bytes_ = 0;  // for one sequence
  std::vector<Ids> prompts_;
  std::vector<Course> whole_;  // beside prompts_
};

TEST_P(DeterministicLongTest, InPiecesOfAnySize) {
  for (const int piece : {1, 3, 17, 64, 65, 200}) {
    EngineOptions cut = options();
    cut.piece = piece;
    cut.page_entries = piece == 17 ? 5 : 16;
    EngineThread engine(cut, open_own);
    for (std::size_t i = 0; i < prompts_.size(); ++i) {
      expect_same(run(engine, prompts_[i], i), whole_[i], fmt::format("{} in {}", prompts_[i].size(), piece));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(DeterministicLongTest, InABatch) {
  for (const int piece : {50, 512}) {
    for (const int sequences : {3, 80}) {
      EngineOptions many = options();
      many.max_sequences = sequences;
      many.piece = piece;
      EngineThread engine(many, open_own);
      expect_all_same(run_together(engine, sequences == 80 ? 7 : 1), fmt::format("{} in {}", sequences, piece));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(DeterministicLongTest, PreemptedAndResumed) {
  EngineOptions narrow = options();
  narrow.max_sequences = 8;
  narrow.piece = 30;
  narrow.kv_memory = pool_bytes_ * 5 / 4;
  for (const bool cached : {false, true}) {
    narrow.prefix_cache = cached;
    narrow.prefix_distance = 64;
    EngineThread engine(narrow, open_own);
    const std::vector<Course> courses = run_together(engine, 3);
    expect_all_same(courses, cached ? "with a cache" : "without a cache");
    if (HasFatalFailure()) return;
    int preemptions = 0;
    for (const Course& course : courses) preemptions += course.result.end.usage.preemptions;
    if (GetParam().grows) {
      EXPECT_GT(preemptions, 0);
    }
  }
}

// Prompts that begin with another one, with a part of it, and with another one and its answer, as a chat's turns do.
TEST_P(DeterministicLongTest, OnACachedPrefix) {
  EngineOptions caching = options();
  caching.prefix_cache = true;
  caching.prefix_distance = 32;
  caching.max_sequences = 2;
  EngineThread engine(caching, open_own);
  EngineThread fresh(options(), open_own);
  std::int64_t reused = 0;
  for (std::size_t i = 0; i < prompts_.size(); ++i) {
    const Ids& prompt = prompts_[i];
    expect_same(run(engine, prompt, i), whole_[i], fmt::format("prompt of {}", prompt.size()));
    Ids turn = prompt;
    turn.insert(turn.end(), whole_[i].result.ids.begin(), whole_[i].result.ids.end());
    std::vector<Ids> later = {prompt, turn};
    for (const std::size_t cut : {prompt.size(), prompt.size() - prompt.size() / 3, prompt.size() + 5, turn.size()}) {
      Ids ids(turn.begin(), turn.begin() + static_cast<std::ptrdiff_t>(cut));
      const Ids tail = random_ids(6);
      ids.insert(ids.end(), tail.begin(), tail.end());
      later.push_back(std::move(ids));
    }
    for (const Ids& ids : later) {
      if (static_cast<std::int64_t>(ids.size()) + answer > 420) continue;
      const Course shared = run(engine, ids, i);
      reused += shared.result.end.usage.reused_tokens;
      expect_same(shared, run(fresh, ids, i), fmt::format("{} ids after a prompt of {}", ids.size(), prompt.size()));
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(reused, 2000);
}

TEST_P(DeterministicLongTest, WithOwedSummaries) {
  EngineOptions owing = options();
  owing.summary_delay = 3;
  owing.piece = 40;
  owing.max_sequences = 4;
  EngineThread engine(owing, open_own);
  expect_all_same(run_together(engine), "owing");
}

// All logits of a prompt, and those of its parts' last rows.
TEST_P(DeterministicLongTest, AllLogits) {
  EngineThread engine(options(), open_own);
  for (const std::size_t i : {4, 8}) {
    LogitRows all;
    Request request = greedy_request(prompts_[i], 0);
    collect(request, all, true);
    Stream stream = submit(engine, std::move(request));
    ASSERT_EQ(wait_for(stream).end.error, "");
    for (std::size_t length = 1; length <= prompts_[i].size(); length += 7) {
      const Ids part(prompts_[i].begin(), prompts_[i].begin() + static_cast<std::ptrdiff_t>(length));
      const auto index = static_cast<std::int64_t>(length) - 1;
      ASSERT_TRUE(run(engine, part, 0).rows.at(index) == all.at(index)) << length << " of " << prompts_[i].size();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, DeterministicLongTest, testing::ValuesIn(variants()),
                         [](const auto& info) { return info.param.name; });

// What a CPU computes is so anyway: neither bits nor what is reused change.
TEST(DeterministicTest, ChangesNothingOnACpu) {
  for (const std::string backend : {"cpu", "reference"}) {
    std::vector<Course> courses;
    std::vector<std::int64_t> reused;
    for (const bool deterministic : {false, true}) {
      EngineOptions options;
      options.model = data_folder() / "ksa-variants" / "base";
      options.backend = backend;
      options.deterministic = deterministic;
      options.threads = 2;
      Engine engine(options);
      Ids ids(60);
      for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i * 37 % 300);
      for (int turn = 0; turn < 2; ++turn) {
        Course& course = courses.emplace_back();
        Request request = greedy_request(ids, 20);
        collect(request, course.rows, false);
        Stream stream = engine.submit(std::move(request));
        course.result = wait_for(stream);
        reused.push_back(course.result.end.usage.reused_tokens);
        ids.insert(ids.end(), course.result.ids.begin(), course.result.ids.end());
        ids.push_back(7);
      }
    }
    for (std::size_t turn = 0; turn < 2; ++turn) {
      EXPECT_EQ(courses[turn].rows, courses[2 + turn].rows) << backend;
      EXPECT_EQ(reused[turn], reused[2 + turn]) << backend;
    }
    EXPECT_GT(reused[1], 60) << backend;  // the answer is part of it
  }
}

}  // namespace
}  // namespace precis::test
