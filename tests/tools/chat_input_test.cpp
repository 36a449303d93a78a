// What a chat's user types.
#include "chat_input.h"

#include <gtest/gtest.h>

#include "thinking_filter.h"

namespace precis::test {
namespace {

// Everything that the lines come to: "?text" for a question, "!name(argument)" for a command.
std::vector<std::string> inputs_of(const std::vector<std::string>& lines) {
  ChatLines joiner;
  std::vector<std::string> inputs;
  for (const std::string& line : lines) {
    const auto input = joiner.take(line);
    if (!input) continue;
    inputs.push_back(input->command ? "!" + input->text + "(" + input->argument + ")" : "?" + input->text);
  }
  if (joiner.open()) inputs.emplace_back("open");
  return inputs;
}

using Inputs = std::vector<std::string>;

TEST(ChatLinesTest, ALineIsAQuestion) {
  EXPECT_EQ(inputs_of({"Who is Tom?", "", "  \t", " Who else? \r"}), (Inputs{"?Who is Tom?", "?Who else?"}));
}

TEST(ChatLinesTest, ASlashBeginsACommandAndTwoAQuestion) {
  EXPECT_EQ(inputs_of({"/help", "/file  a b.txt ", "  /set temp 0.7", "//etc/passwd is what?", "/", "a/b"}),
            (Inputs{"!help()", "!file(a b.txt)", "!set(temp 0.7)", "?/etc/passwd is what?", "!()", "?a/b"}));
}

TEST(ChatLinesTest, BlocksKeepTheirLines) {
  EXPECT_EQ(inputs_of({R"(""")", "  one", "", "/two", R"(""")"}), (Inputs{"?  one\n\n/two"}));
  EXPECT_EQ(inputs_of({R"("""one)", R"(two""")", "three"}), (Inputs{"?one\ntwo", "?three"}));
  EXPECT_EQ(inputs_of({R"("""//one""")"}), (Inputs{"?//one"}));
  EXPECT_EQ(inputs_of({R"("""""")", R"(""")", "", R"(""")"}), Inputs{}) << "nothing is in them";
  EXPECT_EQ(inputs_of({R"(""")", "one"}), Inputs{"open"});
}

TEST(ChatLinesTest, ADroppedBlockLeavesNothing) {
  ChatLines lines;
  lines.take(R"("""one)");
  EXPECT_TRUE(lines.open());
  lines.drop();
  EXPECT_FALSE(lines.open());
  EXPECT_EQ(lines.take("two")->text, "two");
}

TEST(NearestNamesTest, BeginningsComeFirstThenFewChangedLetters) {
  const Inputs names = {"help", "file", "save", "load", "clear", "context", "memory", "set", "retry", "quit"};
  EXPECT_EQ(nearest_names("hepl", names), Inputs{"help"});
  EXPECT_EQ(nearest_names("mem", names), (Inputs{"memory", "set"}));
  EXPECT_EQ(nearest_names("s", names), (Inputs{"save", "set"}));
  EXPECT_EQ(nearest_names("exit", names), Inputs{"quit"});
  EXPECT_EQ(nearest_names("translate", names), Inputs{});
}

const ThinkTags kTags = {"<think>", "</think>"};

// "(thought)" and "said", joined where neighbours are alike, from a text that comes in parts of `size` bytes.
std::string filtered(const std::string& text, std::size_t size, bool inside = false) {
  ThinkingFilter filter(kTags, inside);
  std::string thought;
  std::string said;
  const auto add = [&](const std::vector<ThinkingFilter::Stretch>& stretches) {
    for (const auto& stretch : stretches) {
      EXPECT_FALSE(stretch.text.empty());
      EXPECT_TRUE(!stretch.thinking || said.empty()) << "thinking comes first";
      (stretch.thinking ? thought : said) += stretch.text;
    }
  };
  for (std::size_t at = 0; at < text.size(); at += size) add(filter.take(text.substr(at, size)));
  add(filter.finish());
  return "(" + thought + ")" + said;
}

TEST(ThinkingFilterTest, CutsAtTagsWhereverTheTextIsCut) {
  for (std::size_t size = 1; size < 40; ++size) {
    EXPECT_EQ(filtered("<think>\nLet me see.\n</think>\n\nIt is 4.", size), "(Let me see.\n)It is 4.") << size;
    EXPECT_EQ(filtered("\n<think></think>4", size), "()4") << size;
    EXPECT_EQ(filtered("see.</think> 4 < 5", size, true), "(see.)4 < 5") << size;
    EXPECT_EQ(filtered("<think>never </thin", size), "(never </thin)") << size;
    EXPECT_EQ(filtered(" It says <think> here.", size), "() It says <think> here.") << size;
    EXPECT_EQ(filtered("<thin", size), "()<thin") << size;
    EXPECT_EQ(filtered("", size), "()") << size;
  }
}

TEST(ThinkingFilterTest, GivesTextAsSoonAsItIsNoTag) {
  ThinkingFilter filter(kTags, false);
  EXPECT_EQ(filter.take("<th").size(), 0U);
  const auto stretches = filter.take("e cat");
  ASSERT_EQ(stretches.size(), 1U);
  EXPECT_EQ(stretches[0].text, "<the cat");
  EXPECT_EQ(filter.take(" <").at(0).text, " <") << "a tag behind words is a word";
}

TEST(ThinkingFilterTest, WithoutTagsAllIsAnswer) {
  ThinkingFilter filter(std::nullopt, false);
  EXPECT_EQ(filter.take("\n<think>a").at(0).text, "\n<think>a");
  EXPECT_TRUE(filter.finish().empty());
}

}  // namespace
}  // namespace precis::test
