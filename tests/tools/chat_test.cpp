// precis chat in a pipe and with -q, and what it refuses.
#include <gtest/gtest.h>

#include "tools/program.h"

namespace precis::test {
namespace {

// 1,300 tokens of a book, in which Yusuf Hunter's secret code is 81252.
std::string story_text() {
  return read_file(PRECIS_TEST_DATA "/needles/00.txt").substr(0, 5000);
}

std::vector<std::string> chat(const std::string& more) {
  return std::vector<std::string>{"chat", "-m", demo_ksa(), "--temp", "0", "-n", "24", "-c", "4096"} + words(more);
}

std::size_t lines_of(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST(ChatTest, QuestionsAreLinesAndAnswersAlone) {
  const TemporaryFolder folder;
  const std::string story = folder.write("story.txt", story_text());
  const Finished piped = precis(chat("-f " + story),
                                "What is the secret code of Yusuf Hunter?\n\n\"\"\"\nWhat is the\nsecret code of Yusuf "
                                "Hunter?\n\"\"\"\n/retry\n");
  ASSERT_EQ(piped.code, 0) << piped.err;
  EXPECT_EQ(lines_of(piped.out), 3U) << piped.out;
  EXPECT_EQ(piped.out.substr(0, piped.out.find('\n')), "The secret code of Yusuf Hunter is 81252.");
  EXPECT_EQ(lines_of(piped.err), 2U) << piped.err;
  EXPECT_EQ(piped.err.rfind("reading story.txt: ", 0), 0U) << piped.err;
  EXPECT_EQ((piped.out + piped.err).find('\033'), std::string::npos);

  const Finished asked =
      precis(chat("-f " + story) + std::vector<std::string>{"-q", "What is the secret code of Yusuf Hunter?"});
  ASSERT_EQ(asked.code, 0) << asked.err;
  EXPECT_EQ(asked.out, "The secret code of Yusuf Hunter is 81252.\n");
  const Finished input = precis(chat("-f - -q Who?"), story_text());
  EXPECT_EQ(input.code, 0) << input.err;
}

TEST(ChatTest, AFirstQuestionIsWhatRunAsks) {
  const TemporaryFolder folder;
  const std::string story = folder.write("story.txt", story_text());
  const std::vector<std::string> rest = words("--temp 0 -n 24 -c 4096 -f " + story);
  const Finished run = precis(std::vector<std::string>{"run", "-m", demo_ksa(), "--chat", "-p", "Who is it?"} + rest);
  const Finished chat = precis(std::vector<std::string>{"chat", "-m", demo_ksa(), "-q", "Who is it?"} + rest);
  ASSERT_EQ(chat.code, 0) << chat.err;
  EXPECT_EQ(chat.out, run.out);
}

TEST(ChatTest, LaterQuestionsComputeTheirOwnTokens) {
  const TemporaryFolder folder;
  const std::string story = folder.write("story.txt", read_file(PRECIS_TEST_DATA "/needles/00.txt").substr(0, 6000));
  const Finished asked = precis(chat("--stats -q Who? -q Where? -q When? -f " + story));
  ASSERT_EQ(asked.code, 0) << asked.err;
  std::size_t at = 0;
  for (int question = 0; question < 3; ++question) {
    at = asked.err.find("\n[", at);
    ASSERT_NE(at, std::string::npos) << asked.err;
    const int computed = std::stoi(asked.err.substr(at + 2));
    EXPECT_LT(computed, 24) << asked.err;
    at += 2;
  }
}

TEST(ChatTest, SlashesAtTheBeginning) {
  const Finished two = precis(chat(""), "//what?\n/context\n");
  ASSERT_EQ(two.code, 0) << two.err;
  EXPECT_GE(lines_of(two.out), 1U);
  EXPECT_NE(two.err.find("1 question"), std::string::npos) << two.err;
  const Finished question = precis(chat("-q /context"));
  ASSERT_EQ(question.code, 0) << question.err;
  EXPECT_GE(lines_of(question.out), 1U);
  EXPECT_EQ(question.err.find("tokens used"), std::string::npos) << question.err;
}

TEST(ChatTest, SettingsChangeAnswers) {
  const Finished set = precis(chat(""), "/set max-tokens 3\nWho?\n/set max-tokens 9\n/retry\n/set\n");
  ASSERT_EQ(set.code, 0) << set.err;
  const std::string first = set.out.substr(0, set.out.find('\n'));
  EXPECT_EQ(set.out.substr(first.size() + 1).rfind(first, 0), 0U) << set.out;
  EXPECT_NE(set.err.find("max-tokens 9 (set)"), std::string::npos) << set.err;
  EXPECT_NE(set.err.find("ends here after 3 tokens"), std::string::npos) << set.err;
}

TEST(ChatTest, RetryTakesAnotherSeed) {
  const std::string asks = "Tell me a story\n/retry\n";
  const auto lines = [&](const std::string& more) {
    const Finished run =
        precis({"chat", "-m", demo_ksa(), "-n", "12", "-c", "512", "--temp", "1", "--seed", more}, asks);
    EXPECT_EQ(run.code, 0) << run.err;
    return run.out;
  };
  const std::string once = lines("7");
  EXPECT_EQ(lines("7"), once);
  const std::size_t half = once.find('\n');
  EXPECT_NE(once.substr(0, half), once.substr(half + 1, half));
}

TEST(ChatTest, RefusesWhatDoesNotFitBeforeItIsRead) {
  const TemporaryFolder folder;
  const std::string book = folder.write("book.txt", read_file(PRECIS_TEST_DATA "/needles/00.txt").substr(0, 8000));
  const std::vector<std::string> line = {"chat", "-m", demo_ksa(), "-c", "1024", "-f", book, "-q", "Who?"};
  const Finished refused = precis(line);
  expect_refused(refused, "more than the context of 1,024; ways out: a larger -c (the model was made for 32,768;");
  for (const char* part : {"book.txt: ", "--esa on", "--kv-cache-dtype fp8", "--kv-offload FILE"}) {
    EXPECT_NE(refused.err.find(part), std::string::npos) << part;
  }
  // By exactly as many tokens as it says: so many more, and it fits.
  const std::size_t tokens_end = refused.err.find(" tokens, ");
  const std::size_t tokens_begin = refused.err.rfind(' ', tokens_end - 1) + 1;
  std::string tokens = refused.err.substr(tokens_begin, tokens_end - tokens_begin);
  std::erase(tokens, ',');
  std::vector<std::string> fits = line;
  fits[4] = tokens;
  EXPECT_EQ(precis(fits).code, 0) << tokens;
  fits[4] = std::to_string(std::stoi(tokens) - 1);
  expect_refused(precis(fits), " 1 more than");
}

TEST(ChatTest, AnOutgrownContextLosesNothing) {
  const Finished grown = precis({"chat", "-m", demo_ksa(), "-c", "512", "--temp", "0", "-n", "8"},
                                "Who?\n" + std::string(4000, '?') + "\n");
  EXPECT_EQ(grown.code, 2);
  EXPECT_NE(grown.err.find("nothing was dropped: /clear"), std::string::npos) << grown.err;
  EXPECT_GE(lines_of(grown.out), 1U);
  const Finished full =
      precis({"chat", "-m", demo_ksa(), "-c", "64", "--temp", "0", "-n", "-1", "--ignore-eos"}, "Who?\n");
  EXPECT_EQ(full.code, 0) << full.err;
  EXPECT_NE(full.err.find("the context of 64 tokens is full"), std::string::npos) << full.err;
}

TEST(ChatTest, RefusesWrongFlagsAndCommands) {
  expect_refused(precis(chat("-f - -f - -q Who?")), "--file: - given twice");
  expect_refused(precis(chat("-f -")), "questions are expected as -q");
  expect_refused(precis(chat("-f /nowhere/book.txt -q Who?")), "/nowhere/book.txt");
  expect_refused(precis(chat("--show-thinking loud")), "--show-thinking: 'loud', expected on, off or dim");
  expect_refused(precis(chat("--special")), "--special: not with chat");
  expect_refused(precis(chat("--session /nowhere/s")), "--session: /nowhere/s");
  expect_refused(precis(chat("--chat-template nothing -q Who?")), "nothing");
  expect_refused(precis(chat(""), "/hepl\n"), "no command is called '/hepl'; did you mean /help");
  expect_refused(precis(chat(""), "/set tmp 1\n"), "no setting is called 'tmp'; did you mean: temp");
  expect_refused(precis(chat(""), "/set temp hot\n"), "temp");
  expect_refused(precis(chat(""), "/file\n"), "/file: a path is expected");
  expect_refused(precis(chat(""), "/file /nowhere/b\n"), "/nowhere/b");
  expect_refused(precis(chat(""), "/save\n"), "/save: a path is expected");
  expect_refused(precis(chat(""), "/clear some\n"), "/clear: 'some' given");
  expect_refused(precis(chat(""), "/quit now\n"), "/quit: 'now' given, nothing expected");
  expect_refused(precis(chat(""), "/retry\n"), "/retry: no question was asked yet");
  expect_refused(precis(chat(""), "\"\"\"\nWho?\n"), "is not closed before its end");
}

TEST(ChatTest, NothingToAskIsNoError) {
  const Finished nothing = precis(chat(""), "");
  EXPECT_EQ(nothing.code, 0);
  EXPECT_EQ(nothing.out + nothing.err, "");
}

TEST(ChatThreadsTest, InterruptInAPipeEndsIt) {
  Program program({"chat", "-m", demo_ksa(), "-n", "-1", "--ignore-eos", "--temp", "0", "-q", "Who?", "-q", "Where?"});
  ASSERT_TRUE(program.wait_for_output(40));
  program.send(SIGINT);
  const Finished finished = program.finish();
  EXPECT_EQ(finished.code, 130) << finished.err;
  EXPECT_TRUE(finished.out.ends_with('\n'));
  EXPECT_NE(finished.err.find("stopped: what was said stays"), std::string::npos) << finished.err;
}

TEST(ChatTest, EndsQuietlyWhenTheReaderGoes) {
  Program program({"chat", "-m", demo_ksa(), "-n", "-1", "--ignore-eos", "--temp", "0", "-q", "Who?"});
  ASSERT_TRUE(program.wait_for_output(10));
  program.close_output();
  const Finished finished = program.finish();
  EXPECT_EQ(finished.code, 0);
}

}  // namespace
}  // namespace precis::test
