#include "tools/program.h"

namespace precis::test {
namespace {

using Json = nlohmann::json;

const std::vector<std::string> kPrompts = {"It was a dark night", "Once", "The old house stood",
                                           "\"No,\" said the captain,", "Chapter 1"};

std::vector<std::string> asked(const std::vector<std::string>& prompts) {
  std::vector<std::string> line;
  for (const std::string& prompt : prompts) line = line + std::vector<std::string>{"-p", prompt};
  return line;
}

TEST(RunTest, TextGoesToStandardOutputAndTheSummaryToStandardError) {
  const Finished plain = precis({"run", "-m", demo_ksa(), "-p", kPrompts[0], "-n", "12", "--temp", "0"});
  ASSERT_EQ(plain.code, 0) << plain.err;
  const Finished json = precis(run_json() + asked({kPrompts[0]}) + words("-n 12"));
  ASSERT_EQ(json.code, 0) << json.err;
  ASSERT_EQ(json.json().size(), 1u);
  EXPECT_EQ(plain.out, json.json()[0]["text"].get<std::string>() + "\n");
  const std::string hash = json.json()[0]["logits_hash"];
  for (const std::string& part : {std::string("prompt  "), std::string("answer  12 tokens"), std::string("tokens/s"),
                                  std::string("ended by length"), std::string("text in windows"),
                                  std::string("formula"), std::string("peak"), "hash " + hash}) {
    EXPECT_NE(plain.err.find(part), std::string::npos) << part << " is not in\n" << plain.err;
  }
}

TEST(RunTest, StatsShowATableOfKvKinds) {
  const Finished run = precis({"run", "-m", demo_ksa(), "-p", "Once", "-n", "3", "--stats"});
  ASSERT_EQ(run.code, 0) << run.err;
  for (const char* part : {"text in full layers", "text in windows", "summaries", "full attention", "layers", "pool"}) {
    EXPECT_NE(run.err.find(part), std::string::npos) << part << " is not in\n" << run.err;
  }
}

TEST(RunTest, WhatIsOffloadedIsShownApart) {
  const TemporaryFolder folder;
  const std::string file = (folder.path() / "kv").string();
  const std::string text(900, 'x');
  const std::vector<std::string> line =
      std::vector<std::string>{"run", "-m", demo_ksa(), "--backend", "cpu", "-p", text, "-n", "3", "--temp", "0"} +
      words("--esa on --esa-initial 4 --esa-local 16 --esa-topk 12");
  const Finished near = precis(line + words("--json"));
  const Finished far = precis(line + std::vector<std::string>{"--json", "--kv-offload", file});
  ASSERT_EQ(far.code, 0) << far.err;
  const Json kv = far.json().at(0)["kv"];
  EXPECT_EQ(far.json().at(0)["logits_hash"], near.json().at(0)["logits_hash"]);
  EXPECT_GT(kv["far_bytes"], 0);
  EXPECT_EQ(kv["held_bytes"], kv["far_bytes"].get<std::int64_t>() + kv["device_bytes"].get<std::int64_t>());
  EXPECT_EQ(near.json().at(0)["kv"]["far_bytes"], 0);
  for (const char* part : {"(device ", ", far ", " far; "}) EXPECT_NE(far.err.find(part), std::string::npos) << part;
  EXPECT_EQ(near.err.find("far"), std::string::npos);
  const Finished stats = precis(line + std::vector<std::string>{"--stats", "--kv-offload=" + file});
  for (const char* part : {"of these: device", "of these: far", "far pages of"}) {
    EXPECT_NE(stats.err.find(part), std::string::npos) << part << " is not in\n" << stats.err;
  }
}

TEST(RunTest, JsonHasTextIdsReasonUsageAndKv) {
  const Finished run = precis(run_json() + asked({"Once"}) + words("-n 5 --logprobs 3"));
  ASSERT_EQ(run.code, 0) << run.err;
  const Json answer = run.json().at(0);
  EXPECT_EQ(answer["ids"].size(), 5u);
  EXPECT_EQ(answer["finish_reason"], "length");
  EXPECT_EQ(answer["usage"]["answer_tokens"], 5);
  EXPECT_EQ(answer["kv"]["tokens"].get<int>(), answer["usage"]["prompt_tokens"].get<int>() + 4);
  EXPECT_GT(answer["kv"]["held_bytes"].get<std::int64_t>(), 0);
  ASSERT_EQ(answer["logprobs"].size(), 5u);
  for (std::size_t at = 0; at < 5; ++at) {
    const Json& token = answer["logprobs"][at];
    EXPECT_EQ(token["id"], answer["ids"][at]);
    ASSERT_EQ(token["top"].size(), 3u);
    EXPECT_EQ(token["top"][0]["id"], token["id"]);  // greedy
    EXPECT_LE(token["top"][1]["logprob"].get<double>(), token["top"][0]["logprob"].get<double>());
  }
}

// Suites named ThreadsTest also run under ThreadSanitizer, which ends a program with a race with another exit code.
TEST(RunThreadsTest, BatchEqualsSingles) {
  const Finished batch = precis(run_json() + asked(kPrompts) + words("-n 24"));
  ASSERT_EQ(batch.code, 0) << batch.err;
  const std::vector<Json> answers = batch.json();
  ASSERT_EQ(answers.size(), kPrompts.size());
  for (std::size_t index = 0; index < kPrompts.size(); ++index) {
    const Finished single = precis(run_json() + asked({kPrompts[index]}) + words("-n 24"));
    ASSERT_EQ(single.code, 0) << single.err;
    EXPECT_EQ(answers[index]["index"], index);
    EXPECT_EQ(answers[index]["ids"], single.json().at(0)["ids"]);
    EXPECT_EQ(answers[index]["text"], single.json().at(0)["text"]);
  }
}

TEST(RunTest, BatchAsTextPrintsInOrderAndHeadsEachOnStandardError) {
  const Finished batch = precis({"run", "-m", demo_ksa(), "-p", "Once", "-p", "Twice", "-n", "8", "--temp", "0"});
  ASSERT_EQ(batch.code, 0) << batch.err;
  std::string expected;
  for (const char* prompt : {"Once", "Twice"}) {
    expected += precis({"run", "-m", demo_ksa(), "-p", prompt, "-n", "8", "--temp", "0"}).out;
  }
  EXPECT_EQ(batch.out, expected);
  EXPECT_NE(batch.err.find("[1/2] 'Once'"), std::string::npos);
  EXPECT_NE(batch.err.find("[2/2] 'Twice'"), std::string::npos);
}

TEST(RunTest, FewerPlacesThanPromptsGiveTheSameAnswers) {
  const Finished wide = precis(run_json() + asked(kPrompts) + words("-n 10"));
  const Finished narrow = precis(run_json() + asked(kPrompts) + words("-n 10 -np 2 --no-prefix-cache --piece 3"));
  ASSERT_EQ(narrow.code, 0) << narrow.err;
  for (std::size_t index = 0; index < kPrompts.size(); ++index) {
    EXPECT_EQ(wide.json().at(index)["ids"], narrow.json().at(index)["ids"]);
  }
}

TEST(RunTest, FileAndPromptAreJoinedByANewline) {
  const TemporaryFolder folder;
  const std::string book = folder.write("book.txt", "The cat is called Tom.");
  const auto hash = [](const std::vector<std::string>& more, const std::string& input = "") {
    const Finished run = precis(run_json() + more + words("-n 4"), input);
    EXPECT_EQ(run.code, 0) << run.err;
    return run.json().at(0)["logits_hash"].get<std::string>() + run.json().at(0)["ids"].dump();
  };
  const std::string joined = "The cat is called Tom.\nWho is Tom?";
  EXPECT_EQ(hash({"-f", book, "-p", "Who is Tom?"}), hash({"-p", joined}));
  EXPECT_EQ(hash({"--chat", "-f", book, "-p", "Who is Tom?"}), hash({"--chat", "-p", joined}));
  EXPECT_NE(hash({"--chat", "-p", joined}), hash({"-p", joined}));
  EXPECT_NE(hash({"--chat", "-p", joined}), hash({"--chat", "-p", joined, "--system", "Be brief."}));
  EXPECT_EQ(hash({"-f", book}), hash({"-p", "The cat is called Tom."}));
  EXPECT_EQ(hash({"-f", "-"}, joined), hash({"-p", joined}));
  EXPECT_EQ(hash({}, joined), hash({"-p", joined}));  // standard input, unless it is a terminal
}

TEST(RunTest, FilesWithSeveralPromptsAskEach) {
  const Finished run = precis(run_json() + words("-f - -p One -p Two -n 2"), "A text.");
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.json().size(), 2u);
}

TEST(RunTest, SpecialTokensInAPromptAreTextUnlessAskedFor) {
  const auto prompt_tokens = [](const std::vector<std::string>& more) {
    const Finished run = precis(run_json() + words("-n 1") + more);
    EXPECT_EQ(run.code, 0) << run.err;
    return run.json().at(0)["usage"]["prompt_tokens"].get<int>();
  };
  EXPECT_GT(prompt_tokens({"-p", "<|im_end|>"}), 4);
  EXPECT_EQ(prompt_tokens({"-p", "<|im_end|>", "--parse-special"}), 2);
}

TEST(RunTest, EmptyPromptBeginsWithBos) {
  const Finished run = precis(run_json() + std::vector<std::string>{"-p", "", "-n", "3"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.json().at(0)["usage"]["prompt_tokens"], 1);
}

TEST(RunTest, PromptsAreTakenAsTheyAre) {
  for (const std::string prompt : {"-n", "--help", "[1,2]", "{}", "a;b,c", "a=b", "\n"}) {
    const Finished run = precis(run_json() + std::vector<std::string>{"-p", prompt, "-n", "1"});
    ASSERT_EQ(run.code, 0) << prompt << ": " << run.err;
    const Finished ids = precis({"tokenize", "-m", demo_ksa(), "--json", "-p", prompt});
    ASSERT_EQ(ids.code, 0) << ids.err;
    EXPECT_EQ(run.json().at(0)["usage"]["prompt_tokens"], ids.json().at(0)["count"]) << prompt;
  }
}

TEST(RunTest, SameSeedSameText) {
  const auto text = [](const std::string& seed) {
    const Finished run = precis({"run", "-m", demo_ksa(), "-p", "Once", "-n", "20", "--temp", "1", "--seed", seed});
    EXPECT_EQ(run.code, 0) << run.err;
    return run.out;
  };
  EXPECT_EQ(text("7"), text("7"));
  EXPECT_NE(text("7"), text("8"));
}

TEST(RunTest, StopsAtTextsIdsAndLengths) {
  const auto answer = [](const std::vector<std::string>& more) {
    const Finished run = precis(run_json() + std::vector<std::string>{"-p", "Once"} + more);
    EXPECT_EQ(run.code, 0) << run.err;
    return run.json().at(0);
  };
  const Json whole = answer(words("-n 12"));
  const std::string text = whole["text"];
  const std::string word = text.substr(8, 5);
  const Json stopped = answer({"-n", "12", "--stop", "never seen", "-r", word});
  EXPECT_EQ(stopped["finish_reason"], "stop_string");
  EXPECT_EQ(stopped["text"], text.substr(0, text.find(word)));
  const int id = whole["ids"][4];
  const Json at_id = answer({"-n", "12", "--stop-id", std::to_string(id)});
  EXPECT_EQ(at_id["finish_reason"], "end_token");
  EXPECT_EQ(at_id["ids"].back(), id);
  EXPECT_LE(at_id["ids"].size(), 5u);
  const Json none = answer(words("-n 0"));
  EXPECT_EQ(none["ids"].size(), 0u);
  EXPECT_EQ(none["finish_reason"], "length");
  const Json full = answer(words("-n -1 -c 30 --ignore-eos"));
  EXPECT_EQ(full["ids"].size() + full["usage"]["prompt_tokens"].get<std::size_t>(), 30u);
}

TEST(RunTest, BiasForcesAToken) {
  const Finished run = precis(run_json() + words("-p Once -n 4 --logit-bias 447=500 --logit-bias 448-500"));
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.json().at(0)["ids"], Json({447, 447, 447, 447}));
}

TEST(RunTest, BothSpellingsOfFlagsMeanTheSame) {
  const std::vector<std::string> common = {"run", "-m", demo_ksa(), "--json", "-p", "Once", "-p", "Twice"};
  const Finished one = precis(common + words("--n-predict 9 --ctx-size 1k --temp 0.7 --repeat-penalty 1.2 -s 5 "
                                             "--batch-size 64 -np 2 --page-size 8 --no-prefix-cache"));
  const Finished other = precis(common + words("--max-tokens 9 --max-model-len 1024 --temperature 0.7 "
                                               "--repetition-penalty 1.2 --seed 5 --max-num-batched-tokens 64 "
                                               "--max-num-seqs 2 --block-size 8 --no-enable-prefix-caching"));
  ASSERT_EQ(one.code, 0) << one.err;
  ASSERT_EQ(other.code, 0) << other.err;
  for (std::size_t index = 0; index < 2; ++index) {
    EXPECT_EQ(one.json().at(index)["ids"], other.json().at(index)["ids"]);
    EXPECT_EQ(one.json().at(index)["kv"], other.json().at(index)["kv"]);
  }
}

TEST(RunTest, ThreadsAndPiecesDoNotChangeAnswers) {
  const auto ids = [](const std::string& more) {
    const Finished run =
        precis(run_json() + words("-f - -n 8 " + more), read_file(PRECIS_TEST_DATA "/needles/00.txt").substr(0, 3000));
    EXPECT_EQ(run.code, 0) << run.err;
    return run.json().at(0)["ids"];
  };
  const Json expected = ids("-t 1");
  EXPECT_EQ(ids("-t 2"), expected);
  EXPECT_EQ(ids("-t 3 --piece 31"), expected);
}

TEST(RunThreadsTest, InterruptKeepsTheTextAndPrintsTheSummary) {
  Program program({"run", "-m", demo_ksa(), "-p", "Once", "-n", "-1", "--ignore-eos", "--temp", "0"});
  ASSERT_TRUE(program.wait_for_output(40));
  program.send(SIGINT);
  const Finished finished = program.finish();
  EXPECT_EQ(finished.code, 130) << finished.err;
  EXPECT_GE(finished.out.size(), 40u);
  EXPECT_TRUE(finished.out.ends_with('\n'));
  EXPECT_NE(finished.err.find("ended by cancelled"), std::string::npos) << finished.err;
  EXPECT_NE(finished.err.find("tokens/s"), std::string::npos) << finished.err;
}

TEST(RunThreadsTest, InterruptEndsEveryAnswerOfABatch) {
  Program program(run_json() + words("-p Once -p Twice -p Thrice -np 2 -n -1 --ignore-eos"));
  ASSERT_TRUE(program.wait_for_error("[1/3]"));
  program.send(SIGINT);
  const Finished finished = program.finish();
  EXPECT_EQ(finished.code, 130) << finished.err;
  ASSERT_EQ(finished.json().size(), 3u);
  for (const Json& answer : finished.json()) EXPECT_EQ(answer["finish_reason"], "cancelled");
}

TEST(RunTest, EndsQuietlyWhenTheReaderGoes) {
  Program program({"run", "-m", demo_ksa(), "-p", "Once", "-n", "-1", "--ignore-eos", "--temp", "0"});
  ASSERT_TRUE(program.wait_for_output(10));
  program.close_output();
  const Finished finished = program.finish();
  EXPECT_EQ(finished.code, 0);
  EXPECT_EQ(finished.err, "");
}

}  // namespace
}  // namespace precis::test
