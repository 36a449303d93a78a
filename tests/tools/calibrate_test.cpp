#include <cmath>
#include <cstring>

#include "tools/program.h"

namespace precis::test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> few_tokens(const std::string& output) {
  return {"calibrate", "-m",    demo_ksa(),        "--text", book_with_a_fact(), "--tokens", "1500",
          "--dim",     "24",    "--recall-tokens", "1000",   "--recall-topk",    "16",       "-o",
          output,      "--json"};
}

// The header of a file of tensors.
nlohmann::json header_of(const fs::path& path) {
  const std::string bytes = read_file(path);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  return nlohmann::json::parse(bytes.substr(8, length));
}

TEST(CalibrateLongTest, WritesAFileAndSaysHowWellItChooses) {
  const TemporaryFolder home;
  const fs::path file = home.path() / "esa.safetensors";
  const Finished done = precis(few_tokens(file.string()));
  ASSERT_EQ(done.code, 0) << done.err;
  ASSERT_EQ(done.json().size(), 1U);
  const nlohmann::json report = done.json().front();
  EXPECT_EQ(report["file"], file.string());
  EXPECT_EQ(report["dim"], 24);
  EXPECT_EQ(report["length"], 128);
  EXPECT_EQ(report["tokens"], 1500);
  EXPECT_EQ(report["bytes"], 12 * 2 * 24 * 128 * 4);
  ASSERT_EQ(report["layers"].size(), 12U);
  for (std::size_t layer = 0; layer < 12; ++layer) {
    const nlohmann::json& row = report["layers"][layer];
    EXPECT_EQ(row["keys"], layer % 4 == 3 ? "text" : "summaries");
    EXPECT_GT(row["recall"].get<double>(), 0.3) << layer;
    EXPECT_LE(row["recall"].get<double>(), 1) << layer;
  }
  EXPECT_LE(report["least_recall"], report["mean_recall"]);

  const nlohmann::json header = header_of(file);
  EXPECT_EQ(header["__metadata__"]["format"], "precis-esa");
  EXPECT_EQ(header["__metadata__"]["dim"], "24");
  EXPECT_EQ(header["__metadata__"]["tokens"], "1500");
  EXPECT_EQ(header.size(), 1U + 24U);
  for (const char* name : {"esa.layers.0.q", "esa.layers.11.k"}) {
    EXPECT_EQ(header[name]["dtype"], "F32");
    EXPECT_EQ(header[name]["shape"], (nlohmann::json{24, 128}));
  }
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(home.path())) ++files;
  EXPECT_EQ(files, 1U) << "something half-written is left";

  // Again, over what is there: the same bytes.
  const std::string first = read_file(file);
  EXPECT_EQ(precis(few_tokens(file.string())).code, 0);
  EXPECT_EQ(read_file(file), first);
}

TEST(CalibrateTest, AllNumbersKeepScoresExact) {
  const TemporaryFolder home;
  const std::string file = (home.path() / "esa.safetensors").string();
  const Finished done =
      precis({"calibrate", "-m", demo_ksa(), "--text", book_with_a_fact(), "--tokens", "600", "--held-out",
              book_with_a_fact(), "--recall-tokens", "800", "--recall-topk", "10", "-o", file});
  ASSERT_EQ(done.code, 0) << done.err;
  EXPECT_NE(done.err.find("scores stay exact"), std::string::npos) << done.err;
  EXPECT_NE(done.out.find("mean 100.0 %, least 100.0 %"), std::string::npos) << done.out;
  EXPECT_EQ(header_of(file)["esa.layers.3.q"]["shape"], (nlohmann::json{128, 128}));
}

TEST(CalibrateTest, InterruptedItLeavesNothing) {
  const TemporaryFolder home;
  const fs::path file = home.path() / "esa.safetensors";
  Program program({"calibrate", "-m", demo_ksa(), "--text", book_with_a_fact(), "--tokens", "10000", "--recall-tokens",
                   "0", "-o", file.string()});
  ::usleep(300'000);
  program.send(SIGINT);
  const Finished done = program.finish();
  EXPECT_TRUE(done.code == 130 || done.code == 256 + SIGINT) << done.code << done.err;
  EXPECT_TRUE(fs::is_empty(home.path()));
}

TEST(CalibrateTest, WrongWordsAreRefused) {
  const TemporaryFolder home;
  const std::string short_text = home.write("short.txt", "Once upon a time.");
  const std::vector<std::string> line = {"calibrate", "-m", demo_ksa(), "-o", (home.path() / "esa").string()};
  expect_refused(precis(line), "--text");
  expect_refused(precis(line + std::vector<std::string>{"--text", "absent.txt"}), "--text: absent.txt");
  expect_refused(precis(line + std::vector<std::string>{"--text", short_text}),
                 "short.txt: 5 tokens, expected at least 66,384: 50,000 to fit to and 16,384 to measure on");
  expect_refused(precis(line + std::vector<std::string>{"--text", short_text, "--recall-tokens", "0"}),
                 "short.txt: 5 tokens, expected at least 50,000");
  expect_refused(
      precis(line + std::vector<std::string>{"--text", book_with_a_fact(), "--tokens", "64", "--held-out", short_text}),
      "short.txt: 5 tokens, expected at least 16,384");
  expect_refused(
      precis(line + std::vector<std::string>{"--text", book_with_a_fact(), "--tokens", "6", "--recall-tokens", "0"}),
      "too short for any summary");
  for (const char* flag : {"--tokens", "--dim", "--recall-topk"}) {
    expect_refused(precis(line + std::vector<std::string>{"--text", short_text, flag, "0"}), flag);
  }
  expect_refused(precis({"calibrate", "-m", home.path().string(), "--text", short_text}), home.path().string());
  expect_refused(precis({"calibrate", "-m", demo_ksa(), "--text", short_text, "-o", home.path().string()}),
                 "is a folder");
  expect_refused(
      precis({"calibrate", "-m", demo_ksa(), "--text", short_text, "-o", (home.path() / "absent" / "esa").string()}),
      "is no folder");
}

}  // namespace
}  // namespace precis::test
