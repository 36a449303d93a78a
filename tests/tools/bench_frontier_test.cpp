// precis bench --frontier: which frontiers, one walk over them, and what it prints. How fast anything is does not
// matter.
#include "bench_frontier.h"

#include <fmt/format.h>

#include <chrono>
#include <stdexcept>
#include <thread>

#include "tools/markup.h"
#include "tools/program.h"

namespace precis::test {
namespace {

using Counts = std::vector<std::int64_t>;
using Texts = std::vector<std::string>;

Counts frontiers(const std::string& text) {
  return parse_frontiers("--frontier", text, std::int64_t{1} << 28);
}

TEST(BenchFrontierTest, FrontiersDoubleOrAreListed) {
  EXPECT_EQ(frontiers("1k..8k"), (Counts{1024, 2048, 4096, 8192}));
  EXPECT_EQ(frontiers("1k..5000"), (Counts{1024, 2048, 4096, 5000})) << "both ends";
  EXPECT_EQ(frontiers("3..10"), (Counts{3, 6, 10}));
  EXPECT_EQ(frontiers("7..7"), Counts{7});
  EXPECT_EQ(frontiers("32k"), Counts{32768});
  EXPECT_EQ(frontiers("1k,4k,32k"), (Counts{1024, 4096, 32768}));
  EXPECT_EQ(frontiers("1k..4k,6k,1M"), (Counts{1024, 2048, 4096, 6144, 1048576}));
  EXPECT_EQ(frontiers("1..256M").size(), 29U);
  for (const char* wrong : {"", "..", "1k..", "..1k", "0", "0..1k", "8k..1k", "1k,1k", "2k,1k", "1k..4k,3k", "1k..1e30",
                            "1k,", ",1k", "1k...2k", "1..2..4", "a..b", "1k-2k", "-1..4", "1..257M"}) {
    EXPECT_THROW(frontiers(wrong), std::runtime_error) << wrong;
  }
}

FrontierResult result_at(std::int64_t context, std::int64_t far_bytes) {
  FrontierResult result;
  result.context = context;
  result.stretch = context / 2;
  result.stretch_seconds = 2;
  result.seconds = 3;
  result.stretch_cost = {1e9, 4e9};
  result.full_bytes = context * 1000;
  result.generation.test = {.prompt = false, .tokens = 32, .depth = context, .sequences = 1};
  result.generation.rates.samples = {100, 250, 200};
  result.generation.reads = {4e9, 6e9, 5e9, 5e9};
  result.generation.token_cost = {1e7, 3e7};
  result.generation.kv_bytes = context * 250;
  result.generation.kv_far_bytes = far_bytes;
  result.generation.peak_memory = 123'456'789;
  return result;
}

BenchReport report() {
  BenchReport report;
  report.options.model = "models/a<b>";
  report.model.family = "ksa";
  report.device = "cpu (avx2, 2 threads)";
  report.repetitions = 3;
  report.before = report.after = {6e9, 8e9};
  return report;
}

TEST(BenchFrontierTest, ARowSaysWhatAContextCosts) {
  const FrontierResult result = result_at(4096, 0);
  EXPECT_EQ(result.stretch_rate(), 1024);
  EXPECT_NEAR(result.rate(), 1365.33, 0.01);
  EXPECT_EQ(result.milliseconds().median(), 5);
  EXPECT_EQ(result.milliseconds().min(), 4);
  EXPECT_EQ(result.milliseconds().max(), 10);
  EXPECT_EQ(result.milliseconds_to_read(), 2);
  EXPECT_EQ(result.full_over_held(), 4);
  const std::string row = frontier_markdown_row(result);
  EXPECT_EQ(row, "| 4k | 1024 | 1365 | 5.00 | 4.00 to 10.00 | 40.0 % | 1.02 MB | 4.10 MB | 4.00 | 123 MB |\n");
  const auto columns = [](const std::string& line) { return std::count(line.begin(), line.end(), '|'); };
  EXPECT_EQ(columns(frontier_markdown_head()), 2 * columns(row));
  EXPECT_NE(frontier_markdown_row(result_at(4096, 1'000'000)).find("1.02 MB (device 24.0 kB, far 1.00 MB)"),
            std::string::npos);
  EXPECT_NE(frontier_markdown_foot(report()).find("median of 3 repetitions"), std::string::npos);
}

TEST(BenchFrontierTest, CsvAndJsonHaveEveryFrontier) {
  const std::vector<FrontierResult> results = {result_at(1024, 0), result_at(2048, 2048)};
  const Texts lines = parts_between("\n" + frontier_csv(report(), results), "\n", "\n");
  ASSERT_EQ(lines.size(), 4U);  // the last is empty
  const auto fields = [](const std::string& line) { return std::count(line.begin(), line.end(), ','); };
  EXPECT_EQ(fields(lines[1]), fields(lines[0]) + 1) << "the device's name has one in quotes";
  EXPECT_NE(lines[2].find(",2048,1024,2,512,682.667,"), std::string::npos) << lines[2];
  const auto json = nlohmann::json::parse(frontier_json(report(), results));
  const nlohmann::json& second = json.at("frontiers").at(1);
  EXPECT_EQ(second.at("context"), 2048);
  EXPECT_EQ(second.at("prefill").at("tokens_per_second"), 512);
  EXPECT_EQ(second.at("prefill").at("share_of_peak"), 0.25);
  EXPECT_EQ(second.at("generation").at("ms_per_token").at("samples"), (std::vector<double>{10, 4, 5}));
  EXPECT_EQ(second.at("kv_far_bytes"), 2048);
  EXPECT_EQ(second.at("kv_device_bytes"), 2048 * 250 - 2048);
  EXPECT_EQ(second.at("full_attention_kv_bytes"), 2048 * 1000);
  EXPECT_TRUE(nlohmann::json::parse(frontier_json(report(), {})).at("frontiers").empty());
  EXPECT_EQ(frontier_csv(report(), {}), "");
}

TEST(BenchFrontierTest, ThePlotHasBothPanels) {
  const std::string near = frontier_svg(report(), {result_at(1024, 0), result_at(2048, 0)});
  expect_markup(near);
  for (const char* said : {"Generating a token: a&lt;b&gt;", "milliseconds a token", "measured (median): 5 at 1k",
                           "at memory's speed: 2 at 2k", "with full attention: 2.05 MB at 2k", "held: 512 kB at 2k"}) {
    EXPECT_NE(near.find(said), std::string::npos) << said;
  }
  EXPECT_EQ(near.find("on the device"), std::string::npos);
  const std::string far = frontier_svg(report(), {result_at(1024, 0), result_at(2048, 2000)});
  EXPECT_NE(far.find("of these, on the device: 510 kB at 2k"), std::string::npos);
  expect_markup(frontier_svg(report(), {}));
}

// A model of two layers whose K and V of a token are 2 * 2 * 16 numbers of 2 bytes.
std::string small_config(const TemporaryFolder& folder, const nlohmann::json& changes) {
  nlohmann::json config = {{"hidden_size", 32},        {"intermediate_size", 48},       {"num_hidden_layers", 2},
                           {"num_attention_heads", 2}, {"num_key_value_heads", 1},      {"head_dim", 16},
                           {"vocab_size", 100},        {"max_position_embeddings", 64}, {"tie_word_embeddings", true},
                           {"torch_dtype", "bfloat16"}};
  config.update(changes);
  return folder.write("config.json", config.dump());
}

nlohmann::json walk(const Texts& line) {
  const Finished bench = precis(Texts{"bench", "--json", "-t", "2"} + line);
  EXPECT_EQ(bench.code, 0) << bench.err;
  EXPECT_EQ(bench.err, "");
  const std::vector<nlohmann::json> objects = bench.json();
  EXPECT_EQ(objects.size(), 1U);
  return objects.empty() ? nlohmann::json() : objects[0];
}

void expect_walk(const nlohmann::json& report, const Counts& frontiers, std::size_t repetitions) {
  ASSERT_EQ(report.at("frontiers").size(), frontiers.size());
  std::int64_t before = 0;
  double seconds = 0;
  for (std::size_t at = 0; at < frontiers.size(); ++at) {
    const nlohmann::json& row = report.at("frontiers")[at];
    SCOPED_TRACE(row.dump());
    EXPECT_EQ(row.at("context"), frontiers[at]);
    EXPECT_EQ(row.at("prefill").at("tokens"), frontiers[at] - before);
    seconds += row.at("prefill").at("seconds").get<double>();
    EXPECT_NEAR(row.at("prefill").at("tokens_per_second_from_start").get<double>() * seconds,
                static_cast<double>(frontiers[at]), 1e-6 * static_cast<double>(frontiers[at]));
    const nlohmann::json& generation = row.at("generation");
    EXPECT_EQ(generation.at("ms_per_token").at("samples").size(), repetitions);
    EXPECT_EQ(generation.at("read_bandwidth_gbs").size(), repetitions + 1);
    EXPECT_GT(generation.at("ms_per_token").at("min"), 0);
    EXPECT_GT(generation.at("share_of_bandwidth"), 0);
    EXPECT_EQ(row.at("full_attention_kv_bytes"), frontiers[at] * 2 * 2 * 16 * 2);
    EXPECT_LE(row.at("peak_memory_bytes"), report.at("peak_memory_bytes"));
    before = frontiers[at];
  }
}

// Windows that the walk leaves behind, frontiers within pages and chunks, one token apart and many pieces away, answers
// longer than windows, and a context beyond the model's own.
TEST(BenchFrontierLongTest, WalksWithEveryKindOfSight) {
  const TemporaryFolder folder;
  const nlohmann::json ksa = {{"architectures", {"Qwen3ForCausalLM"}},
                              {"use_summary_attention", true},
                              {"summary_chunk_size", 4},
                              {"summary_token_num", 2},
                              {"summary_token_begin", 98},
                              {"truncate_predict_nums", 98},
                              {"summary_independent_parameters", true},
                              {"mix_coeff", 0.5},
                              {"summary_chunk_position_ids_type", "origin"},
                              {"summary_token_position_ids_type", "last_chunk_slice_right"}};
  nlohmann::json narrow = ksa;
  narrow["summary_sliding_chunk_num"] = "[2]+[900]";
  nlohmann::json windows = ksa;
  windows["summary_sliding_chunk_num"] = "[2]*2";
  const std::vector<nlohmann::json> models = {{{"architectures", {"LlamaForCausalLM"}}},
                                              {{"architectures", {"MistralForCausalLM"}}, {"sliding_window", 16}},
                                              narrow,
                                              windows};
  for (const nlohmann::json& model : models) {
    const std::string config = small_config(folder, model);
    const auto report =
        walk({"--dummy", config, "--frontier", "1,41,42,130,1000", "-n", "20", "-b", "8", "-c", "1000", "-r", "2"});
    expect_walk(report, {1, 41, 42, 130, 1000}, 2);
    const std::int64_t held = report.at("frontiers").back().at("kv_bytes");
    if (model == models[0]) {
      EXPECT_EQ(held, 63 * 16 * 2 * 2 * 16 * 2) << "whole pages";
    } else if (model == models[1]) {
      EXPECT_LE(held, 3 * 16 * 2 * 2 * 16 * 2);
    } else {
      EXPECT_LT(held, 63 * 16 * 2 * 2 * 16 * 2);
    }
  }
}

// Beside a long context there is room for what windows leave behind within an answer, not for all of it once more.
TEST(BenchFrontierLongTest, WindowsBesideALongContext) {
  const auto report =
      walk({"--dummy", demo_ksa(), "--frontier", "500,4k,6000,6001", "-n", "300", "-r", "2", "-b", "32"});
  ASSERT_EQ(report.at("frontiers").size(), 4U);
  EXPECT_GT(report.at("frontiers")[3].at("full_over_held"), 2.4);
}

TEST(BenchFrontierLongTest, SelectionAndFarMemory) {
  const TemporaryFolder folder;
  const std::string plot = (folder.path() / "plot.svg").string();
  const auto report =
      walk({"--dummy", demo_ksa(), "--frontier", "512..2k", "--esa", "on", "--esa-local", "256", "--esa-topk", "128",
            "--deterministic", "--kv-offload", (folder.path() / "kv").string(), "-n", "4", "-r", "1", "--plot", plot});
  ASSERT_EQ(report.at("frontiers").size(), 3U);
  for (const nlohmann::json& row : report.at("frontiers")) {
    EXPECT_GT(row.at("kv_far_bytes"), 0);
    EXPECT_EQ(row.at("kv_bytes"),
              row.at("kv_far_bytes").get<std::int64_t>() + row.at("kv_device_bytes").get<std::int64_t>());
  }
  const std::string picture = read_file(plot);
  expect_markup(picture);
  EXPECT_NE(picture.find("of these, on the device"), std::string::npos);
}

TEST(BenchFrontierLongTest, MarkdownIsARowAFrontier) {
  const Finished bench = precis({"bench", "-m", demo_ksa(), "--frontier", "16..40", "-n", "2", "-r", "1", "-t", "1"});
  EXPECT_EQ(bench.code, 0) << bench.err;
  EXPECT_EQ(bench.err, "");
  EXPECT_EQ(bench.out.rfind(frontier_markdown_head() + "| 16 | ", 0), 0U) << bench.out;
  EXPECT_NE(bench.out.find("\n| 32 | "), std::string::npos);
  EXPECT_NE(bench.out.find("\n| 40 | "), std::string::npos);
  EXPECT_NE(bench.out.find("\n\nksa, 12.5 M, cpu"), std::string::npos);
}

TEST(BenchFrontierLongTest, InterruptPrintsWhatIsThere) {
  const TemporaryFolder folder;
  const std::string plot = (folder.path() / "plot.svg").string();
  // Before it has installed its handler the signal ends the program, and before the first frontier nothing is there:
  // then once more, and later.
  for (auto wait = std::chrono::seconds(3);; wait *= 2) {
    Program program({"bench", "--dummy", demo_ksa(), "--frontier", "8,16", "-r", "10000", "--json", "--plot", plot});
    std::this_thread::sleep_for(wait);
    program.send(SIGINT);
    const Finished bench = program.finish();
    const bool early = bench.code == 256 + SIGINT || bench.json().at(0).at("frontiers").empty();
    if (early && wait < std::chrono::seconds(60)) continue;
    EXPECT_EQ(bench.code, 130);
    ASSERT_EQ(bench.json().at(0).at("frontiers").size(), 1U);
    EXPECT_EQ(bench.json()[0].at("frontiers")[0].at("context"), 8);
    expect_markup(read_file(plot));
    return;
  }
}

}  // namespace
}  // namespace precis::test
