// precis memory: what it says before anything is loaded, and what is there when it is run.
#include <sys/stat.h>

#include <cmath>

#include "tools/markup.h"
#include "tools/program.h"

namespace precis::test {
namespace {

using Json = nlohmann::json;

// What `precis memory --json` says with these flags.
Json memory_json(const std::vector<std::string>& flags) {
  const Finished memory = precis(std::vector<std::string>{"memory", "--json"} + flags);
  EXPECT_EQ(memory.code, 0) << memory.err;
  EXPECT_EQ(memory.err, "");
  return Json::parse(memory.out, nullptr, false);
}

std::string ksa_4b() {
  return PRECIS_GEOMETRIES "/ksa-4b";
}

TEST(MemoryTest, PartsAddUp) {
  const Json models = memory_json({"-m", demo_ksa(), "--dummy", ksa_4b(), "--ctx", "1k,4k,16k", "--esa", "on",
                                   "--esa-local", "512", "--parallel", "3"});
  ASSERT_EQ(models.size(), 2u);
  for (const Json& model : models) {
    ASSERT_EQ(model["contexts"].size(), 3u);
    for (const Json& plan : model["contexts"]) {
      const auto part = [&](const char* name) { return plan[name].get<std::int64_t>(); };
      EXPECT_EQ(part("total_bytes"),
                part("weight_bytes") + part("activation_bytes") + part("pool_bytes") + part("overhead_bytes"));
      const Json& kv = plan["kv_of_a_sequence"];
      std::int64_t formula = 0;
      for (const Json& kind : kv["kinds"]) {
        formula += kind["entries"].get<std::int64_t>() * kind["entry_bytes"].get<std::int64_t>();
      }
      EXPECT_EQ(kv["formula_bytes"], formula);
      EXPECT_GE(part("pool_bytes"), 3 * kv["held_bytes"].get<std::int64_t>());
    }
  }
}

// KSA.md, "What must be kept": 9 n + 27 (W k + n / k) entries of 4 KiB; its full attention 36 n.
TEST(MemoryTest, FormulaOfTheFourBillionModel) {
  const Json models = memory_json({"--dummy", ksa_4b(), "--ctx", "128k"});
  const Json& kv = models[0]["contexts"][0]["kv_of_a_sequence"];
  constexpr std::int64_t n = 131'072;
  const std::int64_t formula = (9 * n + 27 * (128 * 8 + n / 8)) * 4096;
  EXPECT_EQ(kv["formula_bytes"], formula);
  EXPECT_EQ(kv["full_attention_bytes"], 36 * n * 4096);
  EXPECT_LT(kv["held_bytes"].get<double>(), 1.01 * static_cast<double>(formula));
}

// A checkpoint whose tensors are 40 GB of nothing: were they read, this would not end.
TEST(MemoryTest, ReadsHeadersAlone) {
  const TemporaryFolder folder;
  const std::string config = folder.write("config.json", Json{{"architectures", {"Qwen3ForCausalLM"}},
                                                              {"model_type", "qwen3"},
                                                              {"hidden_size", 8192},
                                                              {"intermediate_size", 28672},
                                                              {"num_hidden_layers", 10},
                                                              {"num_attention_heads", 64},
                                                              {"num_key_value_heads", 8},
                                                              {"head_dim", 128},
                                                              {"vocab_size", 200'000},
                                                              {"max_position_embeddings", 131'072},
                                                              {"tie_word_embeddings", true},
                                                              {"torch_dtype", "float32"}}
                                                             .dump());
  const Json planned = memory_json({"--dummy", config, "--ctx", "4k"});
  Json header;
  std::int64_t at = 0;
  const auto tensor = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    std::int64_t bytes = 4;
    for (const std::int64_t size : shape) bytes *= size;
    header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {at, at + bytes}}};
    at += bytes;
  };
  tensor("model.embed_tokens.weight", {200'000, 8192});
  tensor("model.norm.weight", {8192});
  for (int layer = 0; layer < 10; ++layer) {
    const std::string in = "model.layers." + std::to_string(layer) + ".";
    tensor(in + "input_layernorm.weight", {8192});
    tensor(in + "post_attention_layernorm.weight", {8192});
    tensor(in + "self_attn.q_proj.weight", {8192, 8192});
    tensor(in + "self_attn.k_proj.weight", {1024, 8192});
    tensor(in + "self_attn.v_proj.weight", {1024, 8192});
    tensor(in + "self_attn.o_proj.weight", {8192, 8192});
    tensor(in + "self_attn.q_norm.weight", {128});
    tensor(in + "self_attn.k_norm.weight", {128});
    tensor(in + "mlp.gate_proj.weight", {28672, 8192});
    tensor(in + "mlp.up_proj.weight", {28672, 8192});
    tensor(in + "mlp.down_proj.weight", {8192, 28672});
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const auto length = static_cast<std::uint64_t>(text.size());
  text.insert(0, reinterpret_cast<const char*>(&length), sizeof length);
  const std::string file = folder.write("model.safetensors", text);
  ASSERT_EQ(::truncate(file.c_str(), static_cast<off_t>(text.size()) + at), 0) << "a sparse file";
  const Json read = memory_json({"-m", folder.path(), "--ctx", "4k"});
  EXPECT_GT(read[0]["contexts"][0]["weight_bytes"].get<std::int64_t>(), 40'000'000'000);
  EXPECT_EQ(read[0]["contexts"][0]["weight_bytes"], planned[0]["contexts"][0]["weight_bytes"]);
}

// What --fit answers is what an engine with that budget accepts, and one token more is refused.
TEST(MemoryTest, WhatFitsOpensAndMoreIsRefused) {
  const Json models = memory_json({"-m", demo_ksa(), "--fit", "64M"});
  const std::int64_t context = models[0]["fit"]["largest_context"];
  ASSERT_GT(context, 1000);
  const std::vector<std::string> run = {"run", "-m", demo_ksa(), "-p", "a", "-n", "1", "--memory-budget", "64M", "-c"};
  const Finished fits = precis(run + words(std::to_string(context)));
  EXPECT_EQ(fits.code, 0) << fits.err;
  const Finished refused = precis(run + words(std::to_string(context + 16)));
  EXPECT_EQ(refused.code, 2);
  EXPECT_EQ(std::count(refused.err.begin(), refused.err.end(), '\n'), 1) << refused.err;
  EXPECT_NE(refused.err.find("context: " + std::to_string(context + 16) + " tokens"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("the largest context that fits is " + std::to_string(context)), std::string::npos)
      << refused.err;
}

TEST(MemoryTest, SequencesThatFitOpenAndOneMoreIsRefused) {
  const Json models = memory_json({"-m", demo_ksa(), "--ctx", "2k", "--fit", "80M"});
  const std::int64_t sequences = models[0]["fit"]["most_sequences"][0]["sequences"];
  ASSERT_GT(sequences, 1);
  const std::vector<std::string> run = {"run", "-m", demo_ksa(), "-p", "a", "-n", "1", "--memory-budget",
                                        "80M", "-c", "2k",       "-np"};
  EXPECT_EQ(precis(run + words(std::to_string(sequences))).code, 0);
  EXPECT_EQ(precis(run + words(std::to_string(sequences + 1))).code, 2);
}

// Where no context was asked for, the largest that fits is taken, and told.
TEST(MemoryTest, TheModelsContextGivesWayToTheBudget) {
  const Finished run = precis({"run", "-m", demo_ksa(), "-p", "a", "-n", "1", "--memory-budget", "64M", "-v"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.err.find("of 32768 that the model was made for: more do not fit the memory_budget of 67.1 MB"),
            std::string::npos)
      << run.err;
}

TEST(MemoryTest, FormsAndPictureSayTheSame) {
  const TemporaryFolder folder;
  const std::string picture = folder.path() / "kv.svg";
  const std::vector<std::string> flags = {"-m", demo_ksa(), "--ctx", "1k,2k", "--fit", "1G", "--plot", picture};
  const Json json = memory_json(flags);
  const Finished csv = precis(std::vector<std::string>{"memory", "--csv"} + flags);
  const Finished text = precis(std::vector<std::string>{"memory"} + flags);
  EXPECT_EQ(std::count(csv.out.begin(), csv.out.end(), '\n'), 3);
  for (const Json& plan : json[0]["contexts"]) {
    EXPECT_NE(csv.out.find("," + plan["total_bytes"].dump() + "\n"), std::string::npos) << csv.out;
  }
  EXPECT_NE(text.out.find("full attention"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("fits 1.07 GB: a context of"), std::string::npos) << text.out;
  std::ifstream file(picture);
  const std::string svg{std::istreambuf_iterator<char>(file), {}};
  expect_tags(svg);
  EXPECT_NE(svg.find("full attention"), std::string::npos);
}

// Where the system makes huge pages of what nobody asked for them, stacks and heap hold some megabytes more.
double unasked_bytes() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string words;
  std::getline(file, words);
  return words.find("[always]") == std::string::npos ? 0 : 10e6;
}

// Predicted beside what the engine counted and what its process held. Sanitizers hold memory of their own.
void expect_as_predicted(const std::vector<std::string>& flags) {
  const Json models = memory_json(flags + words("--measure -t 2"));
  for (const Json& model : models) {
    for (const Json& plan : model["contexts"]) {
      const Json& measured = plan["measured"];
      const std::string place = model["model"].get<std::string>() + " at " + plan["context"].dump();
      const auto value = [](const Json& of, const char* name) { return of[name].get<double>(); };
      EXPECT_NEAR(value(measured, "predicted_kv_bytes") / value(measured, "kv_allocated_bytes"), 1, 0.01) << place;
      EXPECT_EQ(plan["pool_bytes"], measured["pool_bytes"]) << place;
      EXPECT_EQ(plan["far_bytes"], measured["far_bytes"]) << place;
      EXPECT_EQ(plan["weight_bytes"], measured["weight_bytes"]) << place;
      EXPECT_LE(value(measured, "kv_active_bytes"), value(measured, "kv_allocated_bytes")) << place;
      EXPECT_LE(value(measured, "kv_allocated_bytes"), value(measured, "kv_reserved_bytes")) << place;
#ifndef PRECIS_SANITIZED
      // Of a mapped file what was written stays in memory as long as there is room.
      const double total = value(plan, "total_bytes") + value(plan, "far_bytes");
      const double process = value(measured, "peak_process_bytes");
      EXPECT_LT(total, 1.05 * process) << place << ": " << measured.dump();
      EXPECT_GT(total, 0.95 * process - unasked_bytes()) << place << ": " << measured.dump();
#endif
    }
  }
}

std::vector<std::string> dense_model() {
  return {"-m", std::string(PRECIS_MODELS) + "/demo-dense", "--backend", "cpu"};
}

std::vector<std::string> demo_models() {
  return std::vector<std::string>{"-m", demo_ksa()} + dense_model();
}

// With PRECIS_TEST_ALL=1 everything up to 32k: an hour or two, and a single run takes half of one.
bool asked_for_all() {
  if (std::getenv("PRECIS_TEST_ALL") == nullptr) return false;
  patience_seconds() = 2 * 3600;
  return true;
}

TEST(MemoryLongTest, DemoModelsInShortTextsTakeWhatIsPredicted) {
  expect_as_predicted(demo_models() + words("--ctx 1k,2k"));
  expect_as_predicted(demo_models() + words("--ctx 2000 --weights q8"));
  // With windows not all sequences hold at once what each may: the pool is larger than what is ever written to.
  expect_as_predicted(dense_model() + words("--ctx 2000 --weights q8 --parallel 3"));
}

TEST(MemoryLongTest, DemoModelsTakeWhatIsPredicted) {
  expect_as_predicted(demo_models() + words(asked_for_all() ? "--ctx 4k,8k,16k,32k" : "--ctx 8k"));
  expect_as_predicted(demo_models() + words(asked_for_all() ? "--ctx 7k,16k,32k --esa on" : "--ctx 7k --esa on"));
  expect_as_predicted(demo_models() + words("--ctx 7k --esa on --weights q8 --compute f32"));
  const TemporaryFolder folder;
  expect_as_predicted(demo_models() + words("--ctx 8k --esa on --kv-offload") +
                      std::vector<std::string>{folder.path() / "far.kv"});
}

// The geometry of Qwen3-0.6B with full and with summary attention.
TEST(MemoryLongTest, LargerGeometriesTakeWhatIsPredicted) {
  const std::string geometries = PRECIS_GEOMETRIES "/";
  const std::vector<std::string> models = {
      "--dummy", geometries + "qwen3-0.6b", "--dummy", geometries + "qwen3-0.6b-ksa", "--backend", "cpu"};
  const bool all = asked_for_all();
  expect_as_predicted(models + words(all ? "--ctx 1k,4k,32k" : "--ctx 1k"));
  expect_as_predicted(models + words(all ? "--ctx 1k,8k,32k --weights q8" : "--ctx 1k --weights q8"));
  if (all) {
    expect_as_predicted(models + words("--ctx 8k,32k --esa on"));
    expect_as_predicted(models + words("--ctx 8k,32k --esa on --weights q8"));
  }
}

}  // namespace
}  // namespace precis::test
