#include <cmath>

#include "checkpoint/safetensors_file.h"
#include "tools/program.h"

namespace precis::test {
namespace {

std::string book() {
  return (test_data() / "books" / "alice.txt").string();
}

std::vector<std::string> eval(const std::string& part, const std::string& tokens) {
  return {"eval", part, "-m", demo_ksa(), "-f", book(), "--tokens", tokens, "--json"};
}

nlohmann::json answer(const std::vector<std::string>& line) {
  const Finished finished = precis(line);
  EXPECT_EQ(finished.code, 0) << finished.err;
  return finished.code == 0 ? finished.json().at(0) : nlohmann::json();
}

// Rows of logits as `precis logits` gives them for the first ids of the book.
struct Rows {
  std::vector<std::int32_t> ids;
  std::vector<float> logits;
  std::size_t width = 0;

  Rows(const TemporaryFolder& home, std::size_t count, const std::vector<std::string>& flags) {
    const auto encoded = precis({"tokenize", "-m", demo_ksa(), "-f", book(), "--json"}).json().at(0);
    ids = encoded["ids"].get<std::vector<std::int32_t>>();
    ids.resize(count);
    const std::string list = home.write("ids.json", nlohmann::json({ids}).dump());
    const std::string out = (home.path() / "logits.safetensors").string();
    const Finished done =
        precis(std::vector<std::string>{"logits", "-m", demo_ksa(), "--ids", list, "-o", out} + flags);
    EXPECT_EQ(done.code, 0) << done.err;
    const HostTensor tensor = SafetensorsFile(out).find("0").value();
    logits = to_floats("0", tensor.view);
    width = static_cast<std::size_t>(tensor.view.shape[1]);
  }

  // log p of every id after ids[row].
  std::vector<long double> log_probabilities(std::size_t row) const {
    std::vector<long double> logs(logits.begin() + static_cast<std::ptrdiff_t>(row * width),
                                  logits.begin() + static_cast<std::ptrdiff_t>((row + 1) * width));
    long double total = 0;
    for (const long double value : logs) total += std::exp(value);
    for (long double& value : logs) value -= std::log(total);
    return logs;
  }
};

TEST(EvalTest, PerplexityIsThatOfTheLogits) {
  const TemporaryFolder home;
  const Rows rows(home, 41, {});
  long double sum = 0;
  for (std::size_t row = 0; row < 40; ++row) {
    sum -= rows.log_probabilities(row)[static_cast<std::size_t>(rows.ids[row + 1])];
  }
  const auto json = answer(eval("perplexity", "40"));
  EXPECT_EQ(json["positions"], 40);
  EXPECT_NEAR(json["nll"].get<double>(), static_cast<double>(sum / 40), 1e-6);
  EXPECT_NEAR(json["perplexity"].get<double>(), std::exp(json["nll"].get<double>()), 1e-6);
}

TEST(EvalTest, KlIsThatOfTheLogits) {
  const TemporaryFolder home;
  const Rows base(home, 41, {});
  const Rows model(home, 41, {"--weights", "q4"});
  std::vector<double> divergences;
  double mean = 0;
  double agreement = 0;
  for (std::size_t row = 0; row < 40; ++row) {
    const auto p = base.log_probabilities(row);
    const auto q = model.log_probabilities(row);
    long double kl = 0;
    for (std::size_t id = 0; id < p.size(); ++id) kl += std::exp(p[id]) * (p[id] - q[id]);
    divergences.push_back(static_cast<double>(kl));
    mean += divergences.back() / 40;
    agreement += std::max_element(p.begin(), p.end()) - p.begin() == std::max_element(q.begin(), q.end()) - q.begin();
  }
  const auto json = answer(eval("kl", "40") + std::vector<std::string>{"--weights", "q4"});
  EXPECT_NEAR(json["kl_mean"].get<double>(), mean, 1e-7);
  EXPECT_NEAR(json["kl_max"].get<double>(), *std::max_element(divergences.begin(), divergences.end()), 1e-7);
  EXPECT_EQ(json["kl_p99"], json["kl_max"]) << "of 40 positions";
  EXPECT_NEAR(json["top_agreement"].get<double>(), agreement / 40, 1e-9);
}

TEST(EvalTest, AModelIsNothingFromItself) {
  const auto json = answer(eval("kl", "50"));
  EXPECT_EQ(json["kl_max"], 0);
  EXPECT_EQ(json["top_agreement"], 1);
  EXPECT_EQ(json["nll"], json["base_nll"]);
}

// Each token is expected once, whatever the windows.
TEST(EvalTest, WindowsCoverTheText) {
  const std::vector<std::string> narrow = {"--window", "32"};
  EXPECT_EQ(answer(eval("perplexity", "200") + narrow)["positions"], 200);
  EXPECT_EQ(answer(eval("perplexity", "200") + narrow)["windows"], 7);  // 31 tokens of text each, and what follows
  const auto overlapping = answer(eval("perplexity", "200") + narrow + std::vector<std::string>{"--stride", "8"});
  EXPECT_EQ(overlapping["positions"], 200);
  EXPECT_GT(overlapping["windows"], 20);
  const auto same = answer(eval("kl", "200") + narrow + std::vector<std::string>{"--weights", "q8", "--threads", "1"});
  EXPECT_EQ(same, answer(eval("kl", "200") + narrow + std::vector<std::string>{"--weights", "q8", "--threads", "2"}));
}

// Each range has what the whole has of its tokens; what stands outside is left out.
TEST(EvalTest, RangesAreToldApart) {
  const auto perplexity = [](const std::string& flags) {
    return answer(words("eval perplexity -m " + demo_ksa() + " -f " + book() + " --json " + flags));
  };
  const auto whole = perplexity("--window 64 --tokens 64");
  const auto parts = perplexity("--ranges 0,16,40,65 --window 64 --tokens 64");
  ASSERT_EQ(parts["ranges"].size(), 3u);
  EXPECT_EQ(parts["positions"], 64);
  double sum = 0;
  for (const auto& range : parts["ranges"]) sum += range["nll"].get<double>() * range["positions"].get<double>();
  EXPECT_NEAR(sum / 64, whole["nll"].get<double>(), 1e-9);
  EXPECT_EQ(parts["ranges"][1]["positions"], 24);
  const auto late = perplexity("--ranges 40,64,500 --window 64 --tokens 64");
  EXPECT_EQ(late["positions"], 25);  // with 40 to 64 ids before them
  EXPECT_EQ(late["ranges"][1]["positions"], 1);
  EXPECT_EQ(perplexity("--ranges 0,32 --tokens 70")["window"], 32);

  const auto kl = answer(eval("kl", "64") + words("--weights q4 --window 64 --ranges 16,40,500"));
  ASSERT_EQ(kl["ranges"].size(), 2u);
  EXPECT_NEAR(kl["ranges"][0]["nll"].get<double>(),
              answer(eval("perplexity", "64") + words("--weights q4 --window 64 "
                                                      "--ranges 16,40"))["nll"]
                  .get<double>(),
              1e-9);
  EXPECT_EQ(kl["positions"], 49);
  expect_refused(precis(eval("kl", "64") + words("--ranges 8")), "--ranges: one bound");
  expect_refused(precis(eval("kl", "64") + words("--ranges 8,8")), "--ranges: 8 given behind 8");
  expect_refused(precis(eval("perplexity", "64") + words("--ranges 100,200")), "--ranges: no token is in them");
}

TEST(EvalTest, WrongWordsAreRefused) {
  expect_refused(precis({"eval"}), "perplexity, kl or needle");
  expect_refused(precis({"eval", "taste"}), "taste");
  expect_refused(precis({"eval", "kl", "-m", demo_ksa()}), "--file");
  expect_refused(precis({"eval", "kl", "-m", demo_ksa(), "-f", "absent.txt"}), "absent.txt");
  expect_refused(precis(eval("kl", "5") + std::vector<std::string>{"--against", "absent"}), "absent");
  expect_refused(precis(eval("perplexity", "5") + std::vector<std::string>{"--window", "16", "--stride", "16"}),
                 "--stride");
  expect_refused(precis(eval("perplexity", "5") + std::vector<std::string>{"--window", "64", "--ctx-size", "32"}),
                 "--window: 64");
  expect_refused(precis({"eval", "perplexity", "-m", demo_ksa(), "-f", "-"}), "--file: 0 tokens");
}

// What docs/quantization.md promises, on a stretch of a book that the models were not trained on.
TEST(EvalLongTest, QuantizedModelsStayNear) {
  for (const char* model : {"/demo-ksa", "/demo-dense"}) {
    SCOPED_TRACE(model);
    const std::vector<std::string> line = {"eval",   "kl",       "-m",       PRECIS_MODELS + std::string(model),
                                           "-f",     book(),     "--tokens", "2048",
                                           "--json", "--weights"};
    const auto eight = answer(line + std::vector<std::string>{"q8"});
    EXPECT_LE(eight["kl_mean"], 1e-3);
    EXPECT_GE(eight["top_agreement"], 0.97);
    const auto six = answer(line + std::vector<std::string>{"q6"});
    EXPECT_LE(six["kl_mean"], 6e-3);
    EXPECT_GE(six["top_agreement"], 0.935);
    const auto four = answer(line + std::vector<std::string>{"q4"});
    EXPECT_LE(four["kl_mean"], 2.5e-2);
    EXPECT_GE(four["top_agreement"], 0.87);
  }
}

// The same of weights that were rounded on text of another book, little of it: well below each block alone.
class CalibratedLongTest : public testing::TestWithParam<std::string> {};

TEST_P(CalibratedLongTest, ModelsStayNearer) {
  const TemporaryFolder home;
  const std::string model = PRECIS_MODELS + std::string("/") + GetParam();
  const std::string out = (home.path() / "out").string();
  const Finished done = precis({"quantize", "-m", model, "-o", out, "--weights", "q4", "--calibrate",
                                book_with_a_fact(), "--calibrate-tokens", "4k"});
  ASSERT_EQ(done.code, 0) << done.err;
  const std::vector<std::string> line = {"eval", "kl", "--against", model, "-f", book(), "--tokens", "2048", "--json"};
  const auto alone = answer(line + std::vector<std::string>{"-m", model, "--weights", "q4"});
  const auto calibrated = answer(line + std::vector<std::string>{"-m", out});
  EXPECT_EQ(calibrated["weight_bytes"], alone["weight_bytes"]);
  EXPECT_LE(calibrated["kl_mean"], 0.82 * alone["kl_mean"].get<double>());
  EXPECT_LE(calibrated["kl_mean"], 1.6e-2);
  EXPECT_GE(calibrated["top_agreement"], 0.915);
}

INSTANTIATE_TEST_SUITE_P(Models, CalibratedLongTest, testing::Values("demo-ksa", "demo-dense"),
                         [](const auto& info) { return info.param == "demo-ksa" ? "ksa" : "dense"; });

}  // namespace
}  // namespace precis::test
