#include "tools/program.h"

namespace precis::test {
namespace {

namespace fs = std::filesystem;

Finished quantize_to(const fs::path& output, const std::string& weights) {
  return precis({"quantize", "-m", demo_ksa(), "-o", output.string(), "--weights", weights});
}

TEST(QuantizeTest, WritesAFolderThatRuns) {
  const TemporaryFolder home;
  const fs::path out = home.path() / "out";
  const Finished done = quantize_to(out, "q8");
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_EQ(done.out, "");
  EXPECT_NE(done.err.find("q8"), std::string::npos) << done.err;
  for (const char* name : {"tokenizer.model", "tokenizer_config.json", "generation_config.json"}) {
    EXPECT_EQ(read_file(out / name), read_file(fs::path(demo_ksa()) / name)) << name;
  }
  auto config = nlohmann::ordered_json::parse(read_file(out / "config.json"));
  EXPECT_EQ(config["quantization_config"],
            (nlohmann::ordered_json{{"quant_method", "precis"}, {"weights", "q8"}, {"version", 3}}));
  config.erase("quantization_config");
  EXPECT_EQ(config, nlohmann::ordered_json::parse(read_file(fs::path(demo_ksa()) / "config.json")));
  const Finished inspected = precis({"inspect", "-m", out.string()});
  EXPECT_NE(inspected.out.find("quantized to q8"), std::string::npos) << inspected.out;

  const std::vector<std::string> ask = {"run", "--json", "--temp", "0", "-n", "8", "-p", "It was a dark night"};
  const Finished from_files = precis(ask + std::vector<std::string>{"-m", out.string()});
  const Finished at_load = precis(ask + std::vector<std::string>{"-m", demo_ksa(), "--weights", "q8"});
  ASSERT_EQ(from_files.code, 0) << from_files.err;
  EXPECT_EQ(from_files.json()[0]["logits_hash"], at_load.json()[0]["logits_hash"]);
  EXPECT_NE(at_load.err.find("q8 13."), std::string::npos) << at_load.err;
}

TEST(QuantizeTest, ShardsHaveAnIndex) {
  const TemporaryFolder home;
  const fs::path out = home.path() / "out";
  const Finished done = precis(
      {"quantize", "-m", demo_ksa(), "-o", out.string(), "--weights", "q4", "--shard-size", "3M", "--threads", "3"});
  ASSERT_EQ(done.code, 0) << done.err;
  const auto index = nlohmann::json::parse(read_file(out / "model.safetensors.index.json"));
  EXPECT_TRUE(index["weight_map"].contains("model.layers.5.mlp.up_proj.weight_scale"));
  EXPECT_FALSE(fs::exists(out / "model.safetensors"));
  EXPECT_EQ(precis({"run", "-m", out.string(), "-p", "Once", "-n", "2"}).code, 0);
}

// Better than each block alone is what EvalLongTest asks; here: a folder that runs, of the same size, with other bytes.
TEST(QuantizeLongTest, CalibratedFoldersAreFoldersLikeOthers) {
  const TemporaryFolder home;
  const std::string dense = PRECIS_MODELS + std::string("/demo-dense");
  const std::vector<std::string> line = {"quantize", "-m", dense, "--weights", "q4", "-o"};
  const std::string alone = (home.path() / "alone").string();
  const std::string calibrated = (home.path() / "calibrated").string();
  ASSERT_EQ(precis(line + std::vector<std::string>{alone}).code, 0);
  const Finished done = precis(
      line + std::vector<std::string>{calibrated, "--calibrate", book_with_a_fact(), "--calibrate-tokens", "2k"});
  ASSERT_EQ(done.code, 0) << done.err;
  EXPECT_NE(done.err.find("calibrated on 2,048 tokens"), std::string::npos) << done.err;
  EXPECT_EQ(read_file(calibrated + "/config.json"), read_file(alone + "/config.json"));
  const std::string one = read_file(calibrated + "/model.safetensors");
  const std::string other = read_file(alone + "/model.safetensors");
  EXPECT_EQ(one.size(), other.size());
  EXPECT_NE(one, other);
  EXPECT_EQ(precis({"run", "-m", calibrated, "-p", "Once", "-n", "2"}).code, 0);
}

TEST(QuantizeTest, WrongWordsAreRefused) {
  const TemporaryFolder home;
  const std::vector<std::string> calibrating = {"quantize",  "-m", demo_ksa(),   "-o", (home.path() / "out").string(),
                                                "--weights", "q4", "--calibrate"};
  expect_refused(precis(calibrating + std::vector<std::string>{"absent.txt"}), "--calibrate: absent.txt");
  expect_refused(precis(calibrating + std::vector<std::string>{home.write("short.txt", "Once upon a time.")}),
                 "expected at least");
  expect_refused(precis(calibrating + std::vector<std::string>{"x", "--calibrate-tokens", "0"}), "--calibrate-tokens");
  for (const char* bits : {"4.4", "9", "seven", "nan"}) {
    expect_refused(precis(calibrating + std::vector<std::string>{book_with_a_fact(), "--bits", bits}), "--bits");
  }
  expect_refused(precis({"quantize", "-m", demo_ksa(), "-o", (home.path() / "out").string(), "--weights", "q8",
                         "--calibrate", book_with_a_fact(), "--bits", "6"}),
                 "q4 alone");
  expect_refused(quantize_to(home.path() / "out", "q7"), "q7");
  expect_refused(precis({"quantize", "-m", demo_ksa(), "--weights", "q8"}), "--output");
  expect_refused(precis({"quantize", "-m", demo_ksa(), "-o", (home.path() / "out").string()}), "--weights");
  expect_refused(quantize_to(demo_ksa(), "q8"), "not empty");
  home.write("file", "");
  expect_refused(quantize_to(home.path() / "file", "q8"), "no folder");
  expect_refused(precis({"run", "-m", demo_ksa(), "--weights", "q2", "-p", "x"}), "'q2'");
  expect_refused(precis({"run", "-m", demo_ksa(), "--weights", "q8", "--bits", "6", "-p", "x"}), "q4 alone");
  expect_refused(precis({"run", "-m", demo_ksa(), "--weights", "q4", "--bits", "9", "-p", "x"}), "--bits");
}

}  // namespace
}  // namespace precis::test
