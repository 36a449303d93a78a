// precis bench: what it prints, in all three forms. How fast anything is does not matter here.
#include <chrono>
#include <cmath>
#include <thread>

#include "tools/program.h"

namespace precis::test {
namespace {

std::string demo_config() {
  return demo_ksa() + "/config.json";
}

std::vector<std::string> split(const std::string& line, char at) {
  std::vector<std::string> parts(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') quoted = !quoted;
    if (c == at && !quoted) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines = split(text, '\n');
  EXPECT_EQ(lines.back(), "") << "the last line ends";
  lines.pop_back();
  return lines;
}

// A model of two layers; `changes` are members of its config.json.
std::string small_config(const TemporaryFolder& folder, const nlohmann::json& changes) {
  nlohmann::json config = {{"hidden_size", 32},        {"intermediate_size", 48},       {"num_hidden_layers", 2},
                           {"num_attention_heads", 2}, {"num_key_value_heads", 1},      {"head_dim", 16},
                           {"vocab_size", 100},        {"max_position_embeddings", 64}, {"tie_word_embeddings", true},
                           {"torch_dtype", "bfloat16"}};
  config.update(changes);
  return folder.write("config.json", config.dump());
}

nlohmann::json bench_json(const std::vector<std::string>& line) {
  const Finished bench = precis(std::vector<std::string>{"bench", "--json", "-t", "2"} + line);
  EXPECT_EQ(bench.code, 0) << bench.err;
  EXPECT_EQ(bench.err, "");
  const std::vector<nlohmann::json> objects = bench.json();
  EXPECT_EQ(objects.size(), 1U);
  return objects.empty() ? nlohmann::json() : objects[0];
}

void expect_result(const nlohmann::json& report, const nlohmann::json& result, std::size_t repetitions) {
  SCOPED_TRACE(result.dump());
  const nlohmann::json& rate = result.at("tokens_per_second");
  const auto samples = rate.at("samples").get<std::vector<double>>();
  ASSERT_EQ(samples.size(), repetitions);
  EXPECT_EQ(rate.at("min"), *std::min_element(samples.begin(), samples.end()));
  EXPECT_EQ(rate.at("max"), *std::max_element(samples.begin(), samples.end()));
  for (const char* middle : {"mean", "median"}) {
    EXPECT_GE(rate.at(middle), rate.at("min").get<double>() * 0.999999);
    EXPECT_LE(rate.at(middle), rate.at("max").get<double>() * 1.000001);
  }
  EXPECT_GT(rate.at("min"), 0);
  EXPECT_GE(rate.at("stddev"), 0);
  const auto reads = result.at("read_bandwidth_gbs").get<std::vector<double>>();
  ASSERT_EQ(reads.size(), repetitions + 1);
  std::vector<double> shares;
  for (std::size_t i = 0; i < repetitions; ++i) {
    shares.push_back(samples[i] * result.at("bytes_per_token").get<double>() / ((reads[i] + reads[i + 1]) / 2 * 1e9));
  }
  std::sort(shares.begin(), shares.end());
  EXPECT_NEAR(result.at("share_of_bandwidth"), (shares[(repetitions - 1) / 2] + shares[repetitions / 2]) / 2, 1e-9);
  const double mean = rate.at("mean");
  EXPECT_NEAR(result.at("share_of_peak"),
              mean * result.at("flops_per_token").get<double>() / (report.at("peak_gflops").get<double>() * 1e9), 1e-9);
  EXPECT_GT(result.at("kv_bytes"), 0);
  EXPECT_LE(result.at("peak_memory_bytes"), report.at("peak_memory_bytes"));
}

// Sequences that end on a page's last entry leave no room for a page more: a repetition must not keep what the one
// before it computed.
TEST(BenchLongTest, RepetitionsOfManySequencesFitThePool) {
  const nlohmann::json report =
      bench_json({"--dummy", demo_config(), "-p", "0", "-n", "8", "-d", "256", "-np", "4,32", "-r", "2"});
  EXPECT_EQ(report.at("results").size(), 2U);
}

TEST(BenchLongTest, JsonHasEveryCase) {
  const nlohmann::json report = bench_json(
      {"--dummy", demo_config(), "-p", "16,24", "-n", "4", "-d", "0,20", "-np", "1,3", "-r", "2", "--seed", "3"});
  EXPECT_EQ(report.at("model"), demo_config());
  EXPECT_EQ(report.at("dummy"), true);
  EXPECT_EQ(report.at("family"), "ksa");
  EXPECT_NE(report.at("device").get<std::string>().find("2 threads"), std::string::npos);
  EXPECT_GT(report.at("read_bandwidth_gbs").at("before"), 0);
  EXPECT_GT(report.at("read_bandwidth_gbs").at("after"), 0);
  EXPECT_GT(report.at("peak_gflops"), 0);
  // The gigabyte that measuring the machine takes is not in it, where the system can forget a peak.
  if (std::ofstream("/proc/self/clear_refs") << '5' << std::flush) {
    EXPECT_LT(report.at("peak_memory_bytes"), 600'000'000);
  }
  EXPECT_GT(report.at("peak_memory_bytes"), report.at("weight_bytes"));
  std::vector<std::string> cases;
  for (const nlohmann::json& result : report.at("results")) {
    expect_result(report, result, 2);
    cases.push_back(result.at("test").get<std::string>() + " " + result.at("depth").dump() + " " +
                    result.at("parallel").dump());
  }
  EXPECT_EQ(cases, (std::vector<std::string>{"pp16 0 1", "pp24 0 1", "tg4 0 1", "tg4 0 3", "pp16 20 1", "pp24 20 1",
                                             "tg4 20 1", "tg4 20 3"}));
  // Answers begin behind one token: four steps that see 2 to 5 entries of 512 bytes in 12 layers, none of which ends a
  // chunk. The weights of such a step: tests/memory/cost_plan_test.cpp.
  constexpr double weights = 21'920'768;
  constexpr double seen = 12 * 3.5 * 512;
  EXPECT_NEAR(report.at("results")[2].at("bytes_per_token"), weights + seen, 0.01);
  EXPECT_NEAR(report.at("results")[3].at("bytes_per_token"), weights / 3 + seen, 0.01);
  // Three sequences hold three times the KV of one.
  EXPECT_EQ(report.at("results")[3].at("kv_bytes"), 3 * report.at("results")[2].at("kv_bytes").get<std::int64_t>());
}

TEST(BenchLongTest, CsvHasTheSameColumnsInEveryRow) {
  const Finished bench = precis({"bench", "-m", demo_ksa(), "-p", "8", "-n", "2", "-r", "1", "-t", "1", "--csv"});
  EXPECT_EQ(bench.code, 0) << bench.err;
  const std::vector<std::string> lines = lines_of(bench.out);
  ASSERT_EQ(lines.size(), 3U) << bench.out;
  const std::vector<std::string> names = split(lines[0], ',');
  EXPECT_EQ(names, (std::vector<std::string>{"model",
                                             "dummy",
                                             "family",
                                             "parameters",
                                             "weight_bytes",
                                             "device",
                                             "compute",
                                             "piece",
                                             "test",
                                             "depth",
                                             "parallel",
                                             "repetitions",
                                             "tokens_per_second",
                                             "stddev",
                                             "min",
                                             "median",
                                             "max",
                                             "bytes_per_token",
                                             "gb_per_second",
                                             "share_of_bandwidth",
                                             "flops_per_token",
                                             "gflops",
                                             "share_of_peak",
                                             "kv_bytes",
                                             "kv_device_bytes",
                                             "kv_far_bytes",
                                             "peak_memory_bytes",
                                             "read_bandwidth_gbs_before",
                                             "read_bandwidth_gbs_after",
                                             "peak_gflops"}));
  for (std::size_t row = 1; row < lines.size(); ++row) {
    const std::vector<std::string> values = split(lines[row], ',');
    ASSERT_EQ(values.size(), names.size()) << lines[row];
    EXPECT_EQ(values[0], demo_ksa());
    EXPECT_EQ(values[1], "0");
    EXPECT_EQ(values[8], row == 1 ? "pp8" : "tg2");
    for (std::size_t column = 9; column < values.size(); ++column) {
      EXPECT_GE(std::stod(values[column]), 0) << names[column];
    }
  }
}

TEST(BenchLongTest, MarkdownIsATableAndALineAboutTheMachine) {
  const Finished bench =
      precis({"bench", "--dummy", demo_ksa(), "-p", "8", "-n", "2", "-d", "0,9", "-np", "2", "-r", "2"});
  EXPECT_EQ(bench.code, 0) << bench.err;
  EXPECT_EQ(bench.err, "");
  const std::vector<std::string> lines = lines_of(bench.out);
  ASSERT_EQ(lines.size(), 8U) << bench.out;
  for (std::size_t row = 0; row < 6; ++row) {
    EXPECT_EQ(split(lines[row], '|').size(), split(lines[0], '|').size()) << lines[row];
  }
  EXPECT_NE(lines[2].find("| pp8 |"), std::string::npos) << lines[2];
  EXPECT_NE(lines[3].find("| tg2 x 2 |"), std::string::npos) << lines[3];
  EXPECT_NE(lines[4].find("| pp8 @ d9 |"), std::string::npos) << lines[4];
  EXPECT_NE(lines[5].find("| tg2 @ d9 x 2 |"), std::string::npos) << lines[5];
  EXPECT_NE(lines[5].find(" ± "), std::string::npos) << lines[5];
  EXPECT_NE(lines[7].find("random weights"), std::string::npos) << lines[7];
  EXPECT_NE(lines[7].find("GB/s (before)"), std::string::npos) << lines[7];
}

// Windows that depths leave behind, answers longer than windows and pieces, and a context beyond the model's own.
TEST(BenchLongTest, DepthsOfEveryKindOfSight) {
  const TemporaryFolder folder;
  const std::vector<nlohmann::json> models = {{{"architectures", {"LlamaForCausalLM"}}},
                                              {{"architectures", {"MistralForCausalLM"}}, {"sliding_window", 16}},
                                              {{"architectures", {"Qwen3ForCausalLM"}},
                                               {"use_summary_attention", true},
                                               {"summary_chunk_size", 4},
                                               {"summary_token_num", 2},
                                               {"summary_token_begin", 98},
                                               {"truncate_predict_nums", 98},
                                               {"summary_sliding_chunk_num", "[2]+[900]"},
                                               {"summary_independent_parameters", true},
                                               {"mix_coeff", 0.5},
                                               {"summary_chunk_position_ids_type", "origin"},
                                               {"summary_token_position_ids_type", "last_chunk_slice_right"}}};
  for (const nlohmann::json& model : models) {
    const std::vector<std::string> line = {"--dummy", small_config(folder, model),
                                           "-p",      "50",
                                           "-n",      "70",
                                           "-d",      "130,41",
                                           "-np",     "2",
                                           "-b",      "8",
                                           "-c",      "200",
                                           "-r",      "2"};
    const nlohmann::json report = bench_json(line);
    ASSERT_EQ(report.at("results").size(), 4U);
    for (const nlohmann::json& result : report.at("results")) expect_result(report, result, 2);
  }
}

TEST(BenchLongTest, InterruptPrintsWhatIsThere) {
  // Before it has installed its handler the signal ends the program: then once more, and later.
  for (auto wait = std::chrono::seconds(2);; wait *= 2) {
    Program program({"bench", "--dummy", demo_config(), "-p", "8", "-n", "0", "-r", "10000", "--json"});
    std::this_thread::sleep_for(wait);
    program.send(SIGINT);
    const Finished bench = program.finish();
    if (bench.code == 256 + SIGINT && wait < std::chrono::seconds(60)) continue;
    EXPECT_EQ(bench.code, 130);
    ASSERT_EQ(bench.json().size(), 1U);
    EXPECT_GT(bench.json()[0].at("peak_gflops"), 0);
    return;
  }
}

}  // namespace
}  // namespace precis::test
