// Selective attention in whole engines: against a direct computation in doubles, and the same bits however requests
// meet.
#include <gtest/gtest.h>

#include "engine/courses.h"
#include "engine/deferred_device.h"
#include "engine/direct_model.h"
#include "engine/engine_setup.h"
#include "engine/engine_thread.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

EngineOptions esa_options(const std::string& model) {
  EngineOptions options;
  options.model = models_folder() / model;
  options.backend = "cpu";
  options.threads = 2;
  options.compute = "f32";
  options.context = 700;
  options.piece = 48;
  options.prefix_cache = false;
  options.esa = "on";
  options.esa_initial = 4;
  options.esa_local = 16;
  options.esa_top = 12;
  return options;
}

// Text that the model expects: its own.
std::vector<std::int32_t> told_ids(const std::string& model, std::int64_t count) {
  for (const ReferenceCase& of : read_demo_cases(model)) {
    if (static_cast<std::int64_t>(of.ids.size()) < count) continue;
    return {of.ids.begin(), of.ids.begin() + count};
  }
  return some_ids(count);
}

void expect_same_bits(const Course& course, const Course& expected) {
  EXPECT_EQ(course.result.end.error, "");
  EXPECT_EQ(course.result.ids, expected.result.ids);
  EXPECT_EQ(course.rows, expected.rows);
}

struct DirectCase {
  std::string model;
  std::string positions;
  std::string layers;
  std::int64_t piece;
};

class EsaDirectLongTest : public testing::TestWithParam<DirectCase> {};

TEST_P(EsaDirectLongTest, LogitsAreThoseOfADirectComputation) {
  EngineOptions options = esa_options(GetParam().model);
  options.backend = test_backend();
  options.piece = static_cast<int>(GetParam().piece);
  options.esa_positions = GetParam().positions;
  options.esa_layers = GetParam().layers;
  constexpr std::int64_t tokens = 120;
  if (GetParam().layers == "all") {
    // The window has 32 chunks of 8: longer, and little is kept.
    options.esa_initial = 2;
    options.esa_local = 4;
    options.esa_top = 3;
  }
  const std::int64_t length = GetParam().layers == "all" ? 360 : tokens;
  const std::vector<std::int32_t> ids = told_ids(GetParam().model, length);
  LogitRows rows;
  {
    Engine engine(options);
    Request request = greedy_request(ids, 0);
    collect(request, rows, true);
    Stream stream = engine.submit(request);
    ASSERT_EQ(wait_for(stream).end.error, "");
  }
  DirectModel direct(options.model);
  const auto expected = direct.logits(ids, *esa_rule(options, direct.spec(), 64), GetParam().piece);
  double worst = 0;
  for (std::int64_t row = 0; row < length; ++row) {
    const std::vector<double>& of = expected[static_cast<std::size_t>(row)];
    worst = std::max(worst, relative_difference(rows.at(row), std::vector<float>(of.begin(), of.end())));
  }
  RecordProperty("worst", std::to_string(worst));
  EXPECT_LE(worst, 2e-4);
}

INSTANTIATE_TEST_SUITE_P(
    Demo, EsaDirectLongTest,
    testing::Values(DirectCase{"demo-dense", "absolute", "full", 24}, DirectCase{"demo-dense", "packed", "full", 24},
                    DirectCase{"demo-dense", "fixed", "full", 24}, DirectCase{"demo-dense", "packed", "full", 1},
                    DirectCase{"demo-ksa", "absolute", "full", 24}, DirectCase{"demo-ksa", "fixed", "full", 24},
                    DirectCase{"demo-ksa", "absolute", "all", 24}, DirectCase{"demo-ksa", "packed", "all", 24}),
    [](const auto& info) {
      return (info.param.model == "demo-ksa" ? "ksa_" : "dense_") + info.param.positions + "_" + info.param.layers +
             "_" + std::to_string(info.param.piece);
    });

class EsaTest : public testing::TestWithParam<std::string> {};
class EsaLongTest : public EsaTest {};

INSTANTIATE_TEST_SUITE_P(Demo, EsaTest, testing::Values("demo-ksa", "demo-dense"), name_of_model);
INSTANTIATE_TEST_SUITE_P(Demo, EsaLongTest, testing::Values("demo-ksa", "demo-dense"), name_of_model);

TEST_P(EsaTest, WhereNothingIsLeftOutBitsAreThoseWithout) {
  EngineOptions options = esa_options(GetParam());
  options.compute = "bf16";
  options.esa_local = 100;
  options.esa_top = 96;
  const std::vector<std::int32_t> prompt = some_ids(180);
  const Course with = run_alone(options, prompt, 20);  // 200 tokens in all
  options.esa = "off";
  expect_same_bits(with, run_alone(options, prompt, 20));
}

TEST_P(EsaTest, LongerThanThatSomethingIsLeftOut) {
  EngineOptions options = esa_options(GetParam());
  const std::vector<std::int32_t> prompt = some_ids(180);
  const Course with = run_alone(options, prompt, 5);
  options.esa = "off";
  EXPECT_NE(with.rows, run_alone(options, prompt, 5).rows);
}

TEST_P(EsaLongTest, AloneAndBesideOthersTheSame) {
  EngineOptions options = esa_options(GetParam());
  for (const char* positions : {"absolute", "packed", "fixed"}) {
    SCOPED_TRACE(positions);
    options.esa_positions = positions;
    const std::vector<std::vector<std::int32_t>> prompts = {some_ids(180), some_ids(20, 11), some_ids(131, 5),
                                                            some_ids(333, 3)};
    options.max_sequences = 4;
    Engine engine(options);
    const std::vector<Course> together = run_together(engine, prompts, 30);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      expect_same_bits(together[i], run_alone(options, prompts[i], 30));
    }
  }
}

TEST_P(EsaTest, PreemptedTheSame) {
  EngineOptions options = esa_options(GetParam());
  options.deterministic = true;
  options.context = 400;
  const std::vector<std::vector<std::int32_t>> prompts = {some_ids(150), some_ids(190, 11)};
  std::vector<Course> alone;
  for (const auto& prompt : prompts) alone.push_back(run_alone(options, prompt, 200));
  {
    Engine engine(options);
    options.kv_memory = engine.memory().pool_bytes * 8 / 5;
  }
  options.max_sequences = 2;
  Engine engine(options);
  const std::vector<Course> together = run_together(engine, prompts, 200);
  int preemptions = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    expect_same_bits(together[i], alone[i]);
    preemptions += together[i].result.end.usage.preemptions;
  }
  EXPECT_GT(preemptions, 0);
}

TEST_P(EsaTest, OnACachedPrefixTheSame) {
  EngineOptions options = esa_options(GetParam());
  options.deterministic = true;
  options.prefix_cache = true;
  options.prefix_distance = 96;
  const std::vector<std::int32_t> first = some_ids(290);
  std::vector<std::int32_t> second(first.begin(), first.begin() + 250);
  for (std::int32_t i = 0; i < 40; ++i) second.push_back(300 + 13 * i);
  Engine engine(options);
  run_together(engine, {first}, 10);
  const Course shared = std::move(run_together(engine, {second}, 10).front());
  EXPECT_GT(shared.result.end.usage.reused_tokens, 90);
  expect_same_bits(shared, run_alone(options, second, 10));
}

TEST_P(EsaTest, LaunchedAheadTheSame) {
  EngineOptions options = esa_options(GetParam());
  options.max_sequences = 2;
  const std::vector<std::int32_t> prompt = some_ids(180);
  const auto hooks = std::make_shared<DeferredHooks>();
  EngineThread engine(options,
                      [&](const EngineOptions& of) { return std::make_unique<DeferredDevice>(of, "cpu", hooks); });
  std::vector<Request> requests = {greedy_request(prompt, 30)};
  std::vector<Stream> streams = engine.submit(std::move(requests));
  const Result result = wait_for(streams.front());
  EXPECT_GT(hooks->launched_ahead, 10);
  EXPECT_EQ(result.ids, run_alone(options, prompt, 30).result.ids);
}

TEST(EsaKindsLongTest, AnyTypeOfKAndVAndOwedSummaries) {
  EngineOptions options = esa_options("demo-ksa");
  options.esa_layers = "all";
  options.esa_initial = 1;
  options.esa_local = 3;
  options.esa_top = 2;
  const std::vector<std::int32_t> prompt = some_ids(420);
  for (const char* type : {"f32", "bf16", "fp8"}) {
    SCOPED_TRACE(type);
    options.kv_cache_dtype = type;
    options.summary_delay = 0;
    const Course expected = run_alone(options, prompt, 40);
    ASSERT_EQ(expected.result.end.error, "");
    options.summary_delay = 5;
    expect_same_bits(run_alone(options, prompt, 40), expected);
  }
}

TEST(EsaKindsTest, ReferenceAndCpuAgree) {
  EngineOptions options = esa_options("demo-dense");
  options.context = 200;
  const std::vector<std::int32_t> prompt = told_ids("demo-dense", 90);
  const Course cpu = run_alone(options, prompt, 3);
  options.backend = "reference";
  const Course reference = run_alone(options, prompt, 3);
  ASSERT_EQ(cpu.rows.size(), reference.rows.size());
  for (const auto& [index, row] : reference.rows) EXPECT_LE(max_difference(row, cpu.rows.at(index)), 1e-3);
}

std::string refusal(const EngineOptions& options) {
  try {
    Engine engine(options);
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

TEST(EsaOptionsTest, BadOnesAreRefusedByName) {
  const auto expect = [](auto change, const std::string& part) {
    EngineOptions options = esa_options("demo-ksa");
    change(options);
    EXPECT_NE(refusal(options).find(part), std::string::npos) << refusal(options) << ", expected " << part;
  };
  expect([](auto& of) { of.esa = "maybe"; }, "esa: 'maybe', expected on, off or auto");
  expect([](auto& of) { of.esa_positions = "near"; }, "esa_positions: 'near', expected absolute, fixed or packed");
  expect([](auto& of) { of.esa_layers = "some"; }, "esa_layers: 'some', expected full or all");
  expect([](auto& of) { of.esa_dim = 65; }, "65");
  expect([](auto& of) { of.esa_top = 0; }, "esa_top: 0");
  expect([](auto& of) { of.esa_initial = -1; }, "esa_initial: -1");
  expect([](auto& of) { of.esa_proximity = 65; }, "esa_proximity: 65");
  expect([](auto& of) { of.esa_layers = "all", of.esa_positions = "fixed"; }, "esa_positions: 'fixed'");
  expect([](auto& of) { of.model = data_folder() / "families" / "qwen3"; }, "esa.safetensors");
}

TEST(EsaOptionsTest, AutoIsOffWithoutAFile) {
  EngineOptions options = esa_options("demo-ksa");
  options.model = data_folder() / "families" / "qwen3";
  options.esa = "auto";
  EXPECT_EQ(refusal(options), "");
}

TEST(EsaOptionsTest, BackendsWithoutItRefuseItAndAutoIsOff) {
  EngineOptions options = esa_options("demo-dense");
  const std::vector<std::int32_t> prompt = some_ids(180);
  const auto ask = [&] {
    const auto hooks = std::make_shared<DeferredHooks>();
    hooks->selects = false;
    EngineThread engine(options,
                        [&](const EngineOptions& of) { return std::make_unique<DeferredDevice>(of, "cpu", hooks); });
    std::vector<Stream> streams = engine.submit({greedy_request(prompt, 5)});
    return wait_for(streams.front());
  };
  try {
    ask();
    FAIL();
  } catch (const std::exception& error) {
    EXPECT_STREQ(error.what(), "esa: 'on', expected off or auto: this backend has no selective attention");
  }
  options.esa = "auto";
  const Result result = ask();
  options.esa = "off";
  EXPECT_EQ(result.end.usage.logits_hash, run_alone(options, prompt, 5).result.end.usage.logits_hash);
}

TEST(EsaOptionsTest, RandomWeightsHaveRandomProjections) {
  EngineOptions options = esa_options("demo-dense");
  options.dummy_weights = true;
  const Course course = run_alone(options, some_ids(180), 5);
  EXPECT_EQ(course.result.end.error, "");
  EXPECT_EQ(course.result.ids.size(), 5u);
}

TEST(EsaMemoryTest, ShortKeysAreCounted) {
  EngineOptions options = esa_options("demo-dense");
  options.compute = "bf16";
  const KvReport with = run_alone(options, some_ids(180), 5).result.end.usage.kv;
  options.esa = "off";
  const KvReport without = run_alone(options, some_ids(180), 5).result.end.usage.kv;
  const std::int64_t entries = without.kinds.front().entries;
  EXPECT_EQ(with.kinds.front().entry_bytes, without.kinds.front().entry_bytes + 2 * 64);
  EXPECT_EQ(with.formula_bytes, without.formula_bytes + entries * 2 * 64);
  EXPECT_EQ(with.held_bytes, without.held_bytes + without.kinds.front().held_entries * 2 * 64);
}

}  // namespace
}  // namespace precis::test
