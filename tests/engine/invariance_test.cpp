// A sequence gives the same logits whole, cut at any place, in a batch, preempted or on a shared prefix.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "engine/answers.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

constexpr double tolerance = 1e-4;

EngineOptions demo_options(const std::string& model) {
  EngineOptions options;
  options.model = models_folder() / model;
  options.backend = "cpu";
  options.compute = "f32";
  options.threads = 2;
  options.context = 4096;
  options.prefix_cache = false;
  return options;
}

// Prompt and greedy answer, with the logits after the prompt and after each token of the answer.
struct Course {
  LogitRows rows;
  Result result;
};

Course run_alone(Engine& engine, const std::vector<std::int32_t>& ids, std::int64_t tokens) {
  Course run;
  Request request = greedy_request(ids, tokens);
  collect(request, run.rows, false);
  Stream stream = engine.submit(request);
  run.result = wait_for(stream);
  return run;
}

void expect_same(const Course& run, const Course& whole, const std::string& name) {
  ASSERT_EQ(run.result.end.error, "") << name;
  ASSERT_EQ(run.result.ids, whole.result.ids) << name;
  ASSERT_EQ(run.rows.size(), whole.rows.size()) << name;
  for (const auto& [index, row] : whole.rows) {
    ASSERT_LE(max_difference(row, run.rows.at(index)), tolerance) << name << ", index " << index;
  }
}

class InvarianceLongTest : public testing::TestWithParam<std::string> {
 protected:
  InvarianceLongTest() : cases_(read_demo_cases(GetParam())) {
    Engine engine(demo_options(GetParam()));
    for (const ReferenceCase& of : cases_) whole_.push_back(run_alone(engine, of.ids, 12));
  }

  std::vector<ReferenceCase> cases_;
  std::vector<Course> whole_;  // beside cases_
};

TEST_P(InvarianceLongTest, PrefillCutAnywhere) {
  for (const int piece : {1, 3, 7, 31, 257}) {
    EngineOptions options = demo_options(GetParam());
    options.piece = piece;
    options.page_entries = piece == 31 ? 5 : 16;
    Engine engine(options);
    for (std::size_t i = 0; i < cases_.size(); ++i) {
      expect_same(run_alone(engine, cases_[i].ids, 12), whole_[i], fmt::format("{} in {}", cases_[i].name, piece));
    }
  }
}

TEST_P(InvarianceLongTest, BatchAtMixedPhases) {
  EngineOptions options = demo_options(GetParam());
  options.max_sequences = 16;
  options.piece = 100;
  Engine engine(options);
  std::vector<Course> runs(cases_.size());
  std::vector<Stream> streams;
  for (std::size_t i = 0; i < cases_.size(); ++i) {
    Request request = greedy_request(cases_[i].ids, 12);
    collect(request, runs[i].rows, false);
    streams.push_back(engine.submit(request));
  }
  for (std::size_t i = 0; i < cases_.size(); ++i) {
    runs[i].result = wait_for(streams[i]);
    expect_same(runs[i], whole_[i], cases_[i].name);
  }
}

TEST_P(InvarianceLongTest, PreemptedAndRecomputed) {
  // Sequences that grow until they do not fit together any more.
  constexpr std::int64_t answer = 200;
  EngineOptions options = demo_options(GetParam());
  options.context = 500;
  options.piece = 64;
  std::vector<const ReferenceCase*> growing;
  std::vector<Course> whole;
  {
    Engine engine(options);
    for (const ReferenceCase& of : cases_) {
      if (of.ids.size() < 250 || of.ids.size() > 290) continue;
      growing.push_back(&of);
      whole.push_back(run_alone(engine, of.ids, answer));
    }
    options.kv_memory = 4 * engine.memory().pool_bytes;
  }
  options.max_sequences = 16;
  Engine engine(options);
  std::vector<Course> runs(growing.size());
  std::vector<Stream> streams;
  for (std::size_t i = 0; i < growing.size(); ++i) {
    Request request = greedy_request(growing[i]->ids, answer);
    collect(request, runs[i].rows, false);
    streams.push_back(engine.submit(request));
  }
  int preemptions = 0;
  for (std::size_t i = 0; i < growing.size(); ++i) {
    runs[i].result = wait_for(streams[i]);
    expect_same(runs[i], whole[i], growing[i]->name);
    preemptions += runs[i].result.end.usage.preemptions;
  }
  EXPECT_GT(preemptions, 0);
}

TEST_P(InvarianceLongTest, SharedPrefix) {
  EngineOptions options = demo_options(GetParam());
  options.prefix_cache = true;
  options.prefix_distance = 64;
  options.max_sequences = 2;
  Engine engine(options);
  std::int64_t reused = 0;
  // The cases begin differently: each is followed by its own beginnings with another end.
  std::mt19937 random(7);
  for (const ReferenceCase& of : cases_) {
    if (of.ids.size() < 200) continue;
    run_alone(engine, of.ids, 12);
    for (int i = 0; i < 4; ++i) {
      const auto cut = static_cast<std::ptrdiff_t>(of.ids.size()) - static_cast<std::ptrdiff_t>(random() % 180);
      std::vector<std::int32_t> ids(of.ids.begin(), of.ids.begin() + cut);
      for (int tail = 0; tail < 5; ++tail) ids.push_back(static_cast<std::int32_t>(100 + random() % 5000));
      const Course shared = run_alone(engine, ids, 12);
      reused += shared.result.end.usage.reused_tokens;
      EngineOptions fresh = demo_options(GetParam());
      Engine other(fresh);
      expect_same(shared, run_alone(other, ids, 12), fmt::format("{} cut at {}", of.name, cut));
    }
  }
  EXPECT_GT(reused, 4000);
}

TEST_P(InvarianceLongTest, ThreadsDoNotChangeABit) {
  for (const int threads : {1, 3}) {
    EngineOptions options = demo_options(GetParam());
    options.threads = threads;
    Engine engine(options);
    for (std::size_t i = 0; i < cases_.size(); i += 5) {
      const Course run = run_alone(engine, cases_[i].ids, 12);
      EXPECT_EQ(run.rows, whole_[i].rows) << cases_[i].name << " with " << threads << " threads";
    }
  }
}

TEST_P(InvarianceLongTest, OwedSummariesGiveTheSame) {
  EngineOptions options = demo_options(GetParam());
  options.summary_delay = 4;
  Engine engine(options);
  for (std::size_t i = 0; i < cases_.size(); i += 3) {
    expect_same(run_alone(engine, cases_[i].ids, 12), whole_[i], cases_[i].name);
  }
}

INSTANTIATE_TEST_SUITE_P(Demo, InvarianceLongTest, testing::Values("demo-ksa", "demo-dense"), name_of_model);

TEST(PreemptionLongTest, HappensAndGivesTheSame) {
  // Two sequences that fit alone but not together.
  EngineOptions options = demo_options("demo-ksa");
  options.context = 1000;
  options.piece = 32;
  std::vector<std::int32_t> a;
  std::vector<std::int32_t> b;
  for (std::int32_t i = 0; i < 500; ++i) {
    a.push_back(100 + i * 7 % 4000);
    b.push_back(200 + i * 11 % 4000);
  }
  std::int64_t pool = 0;
  std::vector<Course> whole;
  {
    Engine engine(options);
    pool = engine.memory().pool_bytes;
    whole.push_back(run_alone(engine, a, 400));
    whole.push_back(run_alone(engine, b, 400));
  }
  options.max_sequences = 2;
  options.kv_memory = pool * 8 / 5;
  Engine engine(options);
  std::vector<Course> runs(2);
  std::vector<Stream> streams;
  for (std::size_t i = 0; i < 2; ++i) {
    Request request = greedy_request(i == 0 ? a : b, 400);
    collect(request, runs[i].rows, false);
    streams.push_back(engine.submit(request));
  }
  for (std::size_t i = 0; i < 2; ++i) {
    runs[i].result = wait_for(streams[i]);
    expect_same(runs[i], whole[i], fmt::format("sequence {}", i));
  }
  EXPECT_EQ(runs[0].result.end.usage.preemptions, 0);
  EXPECT_GT(runs[1].result.end.usage.preemptions, 0);
}

}  // namespace
}  // namespace precis::test
