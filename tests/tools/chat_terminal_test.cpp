// precis chat as its users see it at a terminal.
#include <gtest/gtest.h>

#include "tools/terminal_program.h"

namespace precis::test {
namespace {

constexpr const char* kCtrlC = "\x03";
constexpr const char* kCtrlD = "\x04";
constexpr const char* kUp = "\033[A";

std::vector<std::string> chat(const std::string& more) {
  return std::vector<std::string>{"chat", "-m", demo_ksa(), "--temp", "0", "-c", "4096"} + words(more);
}

TEST(ChatTerminalThreadsTest, CtrlCStopsAnAnswerAndKeepsTheChat) {
  const TemporaryFolder state;
  TerminalProgram program(chat("-n -1 --ignore-eos"), state.path());
  ASSERT_TRUE(program.see("Ctrl-D leaves"));
  ASSERT_TRUE(program.see("> "));
  program.type("Tell me a story\r");
  ASSERT_TRUE(program.see("story"));
  ASSERT_TRUE(program.see_more(60));
  program.type(kCtrlC);
  ASSERT_TRUE(program.see("stopped: what was said stays in the conversation"));
  ASSERT_TRUE(program.see("first word after"));
  ASSERT_TRUE(program.see("> "));
  program.type("/context\r");
  ASSERT_TRUE(program.see("1 of them stopped"));
  ASSERT_TRUE(program.see("> "));
  program.type("/set max-tokens 4\r");
  ASSERT_TRUE(program.see("max-tokens 4 (set)"));
  ASSERT_TRUE(program.see("> "));
  program.type("Go on\r");
  ASSERT_TRUE(program.see("the answer ends here after 4 tokens"));
  ASSERT_TRUE(program.see("> "));
  program.type("/retry\r");
  ASSERT_TRUE(program.see("the answer ends here after 4 tokens"));
  ASSERT_TRUE(program.see("> "));
  program.type("/context\r");
  ASSERT_TRUE(program.see("2 questions"));
  ASSERT_TRUE(program.see("> "));
  program.type(kCtrlD);
  EXPECT_EQ(program.finish(), 0) << program.shown();
}

TEST(ChatTerminalThreadsTest, CtrlCAtThePromptClearsTheLine) {
  const TemporaryFolder state;
  TerminalProgram program(chat("-n 4"), state.path());
  ASSERT_TRUE(program.see("> "));
  program.type("this is no question");
  ASSERT_TRUE(program.see("no question"));
  program.type(kCtrlC);
  ASSERT_TRUE(program.see("^C"));
  ASSERT_TRUE(program.see("> "));
  program.type("\"\"\"\rof a block\r");
  ASSERT_TRUE(program.see(". "));
  ASSERT_TRUE(program.see("block"));
  ASSERT_TRUE(program.see(". "));
  program.type(kCtrlC);
  ASSERT_TRUE(program.see("^C"));
  ASSERT_TRUE(program.see("> "));
  program.type("/nothing\r");
  ASSERT_TRUE(program.see("no command is called '/nothing'"));
  ASSERT_TRUE(program.see("> "));
  program.type("/quit\r");
  EXPECT_EQ(program.finish(), 0) << program.shown();
  EXPECT_EQ(program.shown().find("first word after"), std::string::npos) << "nothing was asked";
}

TEST(ChatTerminalThreadsTest, ReadingShowsProgressAndWhatWasReadIsKept) {
  const TemporaryFolder folder;
  const std::string book = folder.write("book.txt", read_file(PRECIS_TEST_DATA "/needles/00.txt").substr(0, 12000));
  TerminalProgram program(chat("-n 4 --piece 4 -f " + book), folder.path());
  ASSERT_TRUE(program.see("reading "));
  ASSERT_TRUE(program.see(" tokens/s, "));
  ASSERT_TRUE(program.see(" left, KV "));
  program.type(kCtrlC);
  ASSERT_TRUE(program.see("stopped: "));
  ASSERT_TRUE(program.see(" tokens are read, and kept"));
  ASSERT_TRUE(program.see("> "));
  program.type("/memory\r");
  ASSERT_TRUE(program.see("cached prefixes"));
  ASSERT_TRUE(program.see("> "));
  program.type("Who?\r");
  ASSERT_TRUE(program.see("reading "));
  program.type(kCtrlC);
  ASSERT_TRUE(program.see("stopped before a word was said"));
  ASSERT_TRUE(program.see("> "));
  program.send(SIGTERM);
  EXPECT_EQ(program.finish(), 128 + SIGTERM) << program.shown();
}

TEST(ChatTerminalThreadsTest, BlocksAndHistoryAndLettersOfManyBytes) {
  const TemporaryFolder state;
  {
    TerminalProgram program(chat("-n 4"), state.path());
    ASSERT_TRUE(program.see("> "));
    program.type("\"\"\"\rZo\xC3\xAB,\rwho are you?\r\"\"\"\r");
    ASSERT_TRUE(program.see("Zo\xC3\xAB"));
    ASSERT_TRUE(program.see("first word after"));
    ASSERT_TRUE(program.see("> "));
    program.type("/context\r");
    ASSERT_TRUE(program.see("1 question"));
    ASSERT_TRUE(program.see("> "));
    program.type(kCtrlD);
    EXPECT_EQ(program.finish(), 0) << program.shown();
  }
  EXPECT_NE(read_file(state.path() / "precis" / "chat_history").find("/context"), std::string::npos);
  TerminalProgram program(chat("-n 4"), state.path());
  ASSERT_TRUE(program.see("> "));
  program.type(kUp);
  ASSERT_TRUE(program.see("/context"));
  program.type("\r");
  ASSERT_TRUE(program.see("tokens used"));
  ASSERT_TRUE(program.see("> "));
  program.type("/quit\r");
  EXPECT_EQ(program.finish(), 0) << program.shown();
}

}  // namespace
}  // namespace precis::test
