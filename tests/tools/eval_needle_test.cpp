// precis eval needle as its users see it.
#include "tools/program.h"

namespace precis::test {
namespace {

using Json = nlohmann::json;

std::vector<std::string> needle(const std::string& flags) {
  return words("eval needle -m " + demo_ksa()) + words(flags);
}
std::string book() {
  return (test_data() / "books" / "alice.txt").string();
}
std::vector<std::string> planted(const std::string& flags) {
  return needle("--text " + book() + " " + flags);
}

TEST(EvalNeedleTest, FactsAreFoundInShortTexts) {
  const TemporaryFolder home;
  const std::string json_file = (home.path() / "out.json").string();
  const std::string svg_file = (home.path() / "out.svg").string();
  const Finished run = precis(
      planted("--lengths 600,900 --depths 0,40,100 --needles 4 -n 32 --json " + json_file + " --svg " + svg_file));
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.err, "");
  EXPECT_NE(run.out.find("all questions:"), std::string::npos);
  const Json json = Json::parse(read_file(json_file));
  EXPECT_EQ(json["asked"], 6);
  EXPECT_GE(json["right"], 5);
  ASSERT_EQ(json["cases"].size(), 6u);
  for (const Json& one : json["cases"]) {
    EXPECT_EQ(one["facts"].size(), 4u);
    EXPECT_LE(one["prompt_tokens"].get<int>() + 32, one["length"].get<int>());
    EXPECT_GE(one["prompt_tokens"].get<int>(), one["length"].get<int>() - 250);
    EXPECT_NEAR(one["answers"][0]["depth"].get<double>(), one["answers"][0]["asked_depth"].get<double>(), 20);
    EXPECT_GT(one["kv_bytes"], 0);
  }
  const std::string svg = read_file(svg_file);
  EXPECT_EQ(svg.rfind("<svg ", 0), 0u);
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(home.path()), {}), 2) << "nothing else was left there";
}

// The same facts and texts each time; one chat computes the document once.
TEST(EvalNeedleLongTest, OneChatAsksSeveralQuestions) {
  const std::string flags = "--lengths 1k --depths 0,50,100 --questions 3 --seed 4 -n 32 --json -";
  const Json chat = Json::parse(precis(planted(flags)).out);
  const Json apart = Json::parse(precis(planted(flags + " --apart --no-prefix-cache")).out);
  ASSERT_EQ(chat["cases"].size(), 3u);
  EXPECT_EQ(chat["cases"][0]["reused_tokens"], 0);
  for (std::size_t at = 0; at < 3; ++at) {
    const Json& one = chat["cases"][at];
    EXPECT_EQ(one["turn"], at);
    EXPECT_EQ(one["document"], 0);
    EXPECT_EQ(one["question"], apart["cases"][at]["question"]);
    EXPECT_EQ(apart["cases"][at]["reused_tokens"], 0);
    EXPECT_GE(one["reused_tokens"].get<int>(), at == 0 ? 0 : 600);
  }
  EXPECT_GE(chat["right"], 2);
  EXPECT_EQ(Json::parse(precis(planted(flags)).out)["cases"][0]["facts"], chat["cases"][0]["facts"]);
  const Json other = Json::parse(precis(planted("--lengths 1k --depths 0 --seed 5 -n 32 --json -")).out);
  EXPECT_NE(other["cases"][0]["facts"], chat["cases"][0]["facts"]);
}

TEST(EvalNeedleTest, OneQuestionAsksForAll) {
  const Json json = Json::parse(precis(planted("--lengths 700 --depths 10,60 --all -n 32 --json -")).out);
  ASSERT_EQ(json["cases"].size(), 1u);
  EXPECT_EQ(json["cases"][0]["answers"].size(), 2u);
  EXPECT_EQ(json["asked"], 1);
  EXPECT_EQ(json["table"][0]["depths"].size(), 2u);
}

TEST(EvalNeedleTest, CasesComeFromAFile) {
  const TemporaryFolder home;
  home.write("a.txt", "It was late.\nThe secret code of Nora Reed is 40718.\nThey went home.");
  const std::string file = home.write(
      "needles.json",
      R"([{"file": "a.txt", "question": "What is the secret code of Nora Reed?", "answers": ["40718"], "depth": 0.35},
          {"file": "a.txt", "question": "What is the secret code of Nora Reed?", "answers": ["Atlantis"], "depth": 0.1}])");
  const Finished run = precis(needle("--json - --needle-file " + file));
  ASSERT_EQ(run.code, 0) << run.err;
  const Json json = Json::parse(run.out);
  EXPECT_EQ(json["cases"][0]["right"], true) << json["cases"][0];
  EXPECT_EQ(json["cases"][0]["answers"][0]["depth"], 35);
  EXPECT_EQ(json["cases"][1]["verdict"], "missing");
  EXPECT_EQ(json["cases"][0]["length"], 128);
}

TEST(EvalNeedleTest, WrongNeedleFilesAreRefused) {
  const TemporaryFolder home;
  home.write("a.txt", "Text.");
  const auto refused = [&](const std::string& text, const std::string& part) {
    expect_refused(precis(needle("--needle-file " + home.write("n.json", text))), part);
  };
  refused("{", "n.json");
  refused("{}", "a list of cases expected, object found");
  refused("[]", "an empty one");
  refused("[3]", "[0]: '3' found, an object expected");
  const std::string good = R"({"file": "a.txt", "question": "q", "answers": ["a"], "depth": 0})";
  refused("[" + good + R"(, {"file": "a.txt"}])", "[1].depth: missing");
  refused(R"([{"file": "a.txt", "question": "", "answers": ["a"], "depth": 0}])", "[0].question");
  refused(R"([{"file": "a.txt", "question": "q", "answers": [], "depth": 0}])", "[0].answers: '[]' found");
  refused(R"([{"file": "a.txt", "question": "q", "answers": [5], "depth": 0}])", "[0].answers[0]: '5' found");
  refused(R"([{"file": "a.txt", "question": "q", "answers": ["a"], "depth": 50}])", "[0].depth: '50' found");
  refused(R"([{"file": "a.txt", "question": "q", "answers": ["a"], "depth": 0, "x": 1}])", "[0].x: '1' found");
  refused(R"([{"file": "absent.txt", "question": "q", "answers": ["a"], "depth": 0}])", "absent.txt");
}

TEST(EvalNeedleTest, WrongWordsAreRefused) {
  const TemporaryFolder home;
  expect_refused(precis(needle("")), "--text or --needle-file");
  expect_refused(precis(planted("--needle-file x")), "--needle-file: not with --text");
  expect_refused(precis(needle("--needle-file x --lengths 4k")), "--lengths: not with --needle-file");
  expect_refused(precis(planted("--lengths 4k,4k")), "--lengths: 4096 given twice");
  expect_refused(precis(planted("--depths 101")), "--depths");
  expect_refused(precis(planted("--questions 6")), "--questions: 6");
  expect_refused(precis(planted("--all --questions 2")), "--questions");
  expect_refused(precis(planted("--needles 4 --all")), "--needles: 4");
  expect_refused(precis(planted("--parallel 2")), "--parallel");
  expect_refused(precis(planted("--lengths 33k")), "--lengths: 33792 given, the model's context has 32768");
  expect_refused(precis(planted("--lengths 1k -c 512")), "--ctx-size allows 512");
  expect_refused(precis(planted("--lengths 40")), "--lengths: 40");
  expect_refused(precis(needle("--text " + home.write("short.txt", "One. Two.") + " --lengths 4k")),
                 "--text: comes to");
  expect_refused(precis(needle("--text " + home.write("empty.txt", "") + " --lengths 4k")), "--text: is empty");
  expect_refused(precis(planted("--json " + home.path().string())), "is a folder");
  expect_refused(precis(planted("--svg " + (home.path() / "absent" / "a.svg").string())), "--svg");
}

TEST(EvalNeedleTest, AnInterruptPrintsWhatIsThere) {
  const TemporaryFolder home;
  Program program(planted("--lengths 600 --depths 0 --files 100000 --json -"));
  ::sleep(3);  // the model is open by then, nearly always
  program.send(SIGINT);
  const Finished finished = program.finish();
  EXPECT_TRUE(finished.code == 130 || finished.code == 256 + SIGINT) << finished.code << finished.err;
  if (finished.code == 130) {
    EXPECT_LT(Json::parse(finished.out)["asked"], 100'000);
  }
}

}  // namespace
}  // namespace precis::test
