// Random weights: every family's geometry runs from its config.json alone.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/answers.h"
#include "precis/checkpoint_report.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

EngineOptions dummy_options(const std::filesystem::path& model) {
  EngineOptions options;
  options.model = model;
  options.dummy_weights = true;
  options.dummy_seed = 5;
  options.threads = 1;
  options.context = 128;
  return options;
}

// Logits after each of forty ids.
LogitRows logits_of(const EngineOptions& options) {
  Engine engine(options);
  std::vector<std::int32_t> ids;
  for (std::int32_t i = 0; i < 40; ++i)
    ids.push_back((i * 37 + 11) % static_cast<std::int32_t>(engine.prompt_vocabulary()));
  LogitRows rows;
  Request request = greedy_request(ids, 0);
  collect(request, rows, true);
  Stream stream = engine.submit(std::move(request));
  const Result result = wait_for(stream);
  EXPECT_EQ(result.end.error, "");
  EXPECT_EQ(rows.size(), ids.size());
  return rows;
}

double root_mean_square(const std::vector<float>& values) {
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * value;
  return std::sqrt(squares / static_cast<double>(values.size()));
}

void expect_ordinary(const LogitRows& rows) {
  for (const auto& [index, logits] : rows) {
    const double size = root_mean_square(logits);
    EXPECT_GT(size, 0.01) << index;
    EXPECT_LT(size, 100) << index;  // false for what is not finite
  }
}

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::filesystem::path fresh_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "precis-dummy-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) std::abort();
  return name;
}

std::string message_of(const EngineOptions& options) {
  try {
    Engine engine(options);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(DummyWeights, EveryFamilyRunsFromItsConfigurationAlone) {
  for (const std::string under : {"families", "ksa-variants"}) {
    for (const std::string& name : folders(under)) {
      SCOPED_TRACE(under + "/" + name);
      EngineOptions options = dummy_options(data_folder() / under / name / "config.json");
      const LogitRows first = logits_of(options);
      expect_ordinary(first);
      options.threads = 2;
      EXPECT_EQ(logits_of(options), first) << "the same seed, other threads";
      options.dummy_seed = 6;
      EXPECT_NE(logits_of(options), first) << "another seed";
    }
  }
}

TEST(DummyWeightsLongTest, AgreeWithTheReference) {
  EngineOptions options = dummy_options(models_folder() / "demo-ksa" / "config.json");
  options.compute = "f32";
  const LogitRows cpu = logits_of(options);
  options.backend = "reference";
  const LogitRows reference = logits_of(options);
  ASSERT_EQ(cpu.size(), reference.size());
  for (const auto& [index, logits] : cpu) EXPECT_LT(max_difference(logits, reference.at(index)), 1e-4) << index;
}

TEST(DummyWeightsLongTest, StayOrdinaryThroughManyLayers) {
  const std::filesystem::path folder = fresh_folder();
  for (const char* architecture : {"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}) {
    const nlohmann::json config = {{"architectures", {architecture}},
                                   {"hidden_size", 512},
                                   {"intermediate_size", 1024},
                                   {"num_hidden_layers", 36},
                                   {"num_attention_heads", 4},
                                   {"num_key_value_heads", 2},
                                   {"head_dim", 128},
                                   {"vocab_size", 1000},
                                   {"max_position_embeddings", 4096},
                                   {"torch_dtype", "bfloat16"}};
    write(folder / "config.json", config.dump());
    SCOPED_TRACE(architecture);
    expect_ordinary(logits_of(dummy_options(folder)));
  }
  std::filesystem::remove_all(folder);
}

TEST(DummyWeights, ReadNothingButTheConfiguration) {
  const std::filesystem::path folder = fresh_folder();
  std::filesystem::copy_file(models_folder() / "demo-dense" / "config.json", folder / "config.json");
  write(folder / "model.safetensors", "no tensors");
  write(folder / "tokenizer.json", "no tokenizer");
  write(folder / "generation_config.json", "no settings");
  const EngineOptions options = dummy_options(folder);
  EXPECT_EQ(logits_of(options), logits_of(dummy_options(models_folder() / "demo-dense" / "config.json")));
  Engine engine(options);
  EXPECT_EQ(engine.default_sampling().temperature, 0);
  EXPECT_EQ(engine.memory().weight_bytes, 16'012'288);  // tests/memory/cost_plan_test.cpp counts them
  try {
    engine.text();
    ADD_FAILURE() << "there is no text";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("only ids can be given"), std::string::npos) << error.what();
  }
  std::filesystem::remove_all(folder);
}

TEST(DummyWeights, RefusesWhatIsNoConfiguration) {
  const std::filesystem::path folder = fresh_folder();
  EXPECT_NE(message_of(dummy_options("/nowhere/config.json")).find("/nowhere/config.json"), std::string::npos);
  EXPECT_NE(message_of(dummy_options(folder)).find("config.json"), std::string::npos);
  write(folder / "config.json", "[1, 2]");
  EXPECT_NE(message_of(dummy_options(folder)).find("object"), std::string::npos);
  write(folder / "config.json", R"({"architectures": ["BertModel"]})");
  EXPECT_NE(message_of(dummy_options(folder)).find("BertModel"), std::string::npos);
  std::filesystem::remove_all(folder);
}

TEST(DummyWeights, AreReportedAsTheCheckpointThatTheyStandFor) {
  const CheckpointReport stored = inspect(models_folder() / "demo-ksa");
  const CheckpointReport planned = inspect_configuration(models_folder() / "demo-ksa" / "config.json");
  EXPECT_EQ(planned.parameters, stored.parameters);
  EXPECT_EQ(planned.bytes, stored.bytes);
  EXPECT_EQ(planned.tensors, stored.tensors);
  EXPECT_EQ(planned.bytes_by_type, stored.bytes_by_type);
  EXPECT_EQ(planned.context, stored.context);
  EXPECT_EQ(planned.layer.size(), stored.layer.size());
  EXPECT_TRUE(planned.files.empty());
}

TEST(EngineBatchTest, RequestsThatAreSubmittedTogetherBeginTogether) {
  EngineOptions options = dummy_options(models_folder() / "demo-dense" / "config.json");
  options.max_sequences = 3;
  Engine engine(options);
  std::vector<int> order;  // whose logits came, on the engine's thread
  std::vector<Request> requests;
  for (int i = 0; i < 3; ++i) {
    requests.push_back(greedy_request({5 + i}, 20));
    requests.back().on_logits = [&order, i](std::int64_t, std::span<const float>) { order.push_back(i); };
  }
  std::vector<Stream> streams = engine.submit(std::move(requests));
  ASSERT_EQ(streams.size(), 3U);
  for (Stream& stream : streams) EXPECT_EQ(wait_for(stream).ids.size(), 20U);
  ASSERT_EQ(order.size(), 60U);
  for (std::size_t i = 0; i < order.size(); ++i) ASSERT_EQ(order[i], static_cast<int>(i % 3)) << i;
}

TEST(EngineBatchTest, OneThatCannotRunKeepsAllOut) {
  Engine engine(dummy_options(models_folder() / "demo-dense" / "config.json"));
  bool ran = false;
  std::vector<Request> requests;
  requests.push_back(greedy_request({5}, 1));
  requests.back().on_logits = [&ran](std::int64_t, std::span<const float>) { ran = true; };
  requests.push_back(greedy_request({-5}, 1));
  EXPECT_THROW(engine.submit(std::move(requests)), std::runtime_error);
  Stream stream = engine.submit(greedy_request({5}, 1));
  wait_for(stream);
  EXPECT_FALSE(ran);
}

TEST(EngineCost, IsCountedForWhatRuns) {
  EngineOptions options = dummy_options(models_folder() / "demo-dense" / "config.json");
  options.piece = 32;
  Engine engine(options);
  // tests/memory/cost_plan_test.cpp works these out.
  EXPECT_EQ(engine.answer_cost(99, 1, 1).bytes, 16'012'288 + 8 * 100 * 512);
  EXPECT_EQ(engine.answer_cost(99, 1, 4).bytes, 16'012'288 + 4 * 8 * 100 * 512);
  EXPECT_GT(engine.prompt_cost(0, 64).bytes, 1.5 * 16'012'288) << "two pieces read the weights twice";
  EXPECT_LT(engine.prompt_cost(0, 64).bytes, 2.5 * 16'012'288);
}

}  // namespace
}  // namespace precis::test
