// A conversation as a session file's note, and notes that are wrong.
#include "chat_session.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace precis::test {
namespace {

using Json = nlohmann::json;

const std::vector<std::int32_t> kIds = {1, 3, 40, 41, 42, 4};

ChatSession some_session() {
  Said said;
  said.add(std::vector<std::int32_t>{1, 3, 40}, "Who?");
  said.add(std::vector<std::int32_t>{77, 4}, "Zo\xC3\xAB");
  return {Conversation("Be brief.", {{{{"a.txt", "A \"text\".\n"}}, "Who?", "Zo\xC3\xAB", true}}, {{"b.txt", "B."}},
                       std::move(said)),
          "chatml",
          {{"temp", "0.7"}, {"stop", "END"}, {"stop", ""}}};
}

TEST(ChatSessionTest, ANoteHasEverything) {
  const ChatSession before = some_session();
  const ChatSession after = parse_session_note(session_note(before, kIds), kIds);
  EXPECT_EQ(after.chat_template, before.chat_template);
  EXPECT_EQ(after.settings, before.settings);
  EXPECT_EQ(after.conversation.system(), "Be brief.");
  EXPECT_EQ(after.conversation.waiting(), before.conversation.waiting());
  ASSERT_EQ(after.conversation.turns().size(), 1U);
  const Turn& turn = after.conversation.turns()[0];
  EXPECT_EQ(turn.documents, before.conversation.turns()[0].documents);
  EXPECT_EQ(turn.question, "Who?");
  EXPECT_EQ(turn.answer, "Zo\xC3\xAB");
  EXPECT_TRUE(turn.stopped);
  EXPECT_EQ(after.conversation.said().ids, before.conversation.said().ids);
  EXPECT_EQ(after.conversation.said().text, before.conversation.said().text);
  ASSERT_EQ(after.conversation.said().marks.size(), 2U);
  EXPECT_EQ(after.conversation.said().marks[1].ids, 5U);
  EXPECT_EQ(session_note(after, kIds), session_note(before, kIds));
}

std::string complaint(const std::string& note) {
  try {
    parse_session_note(note, kIds);
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "";
}

TEST(ChatSessionTest, WhatIsWrongIsNamed) {
  const Json right = Json::parse(session_note(some_session(), kIds));
  const auto with = [&](const char* pointer, Json value) {
    Json wrong = right;
    wrong[Json::json_pointer(pointer)] = std::move(value);
    return complaint(wrong.dump());
  };
  ASSERT_EQ(complaint(right.dump()), "");
  EXPECT_EQ(with("/version", 2), "version: '2' found, 1 expected");
  EXPECT_EQ(with("/format", "x"), "format: '\"x\"' found, \"precis chat\" expected");
  EXPECT_EQ(with("/turns/0/question", 5), "turns[0].question: '5' found, a text expected");
  EXPECT_EQ(with("/turns/0/stopped", 0), "turns[0].stopped: '0' found, true or false expected");
  EXPECT_EQ(with("/turns", "x"), "turns: '\"x\"' found, a list expected");
  EXPECT_EQ(with("/turns/0/documents/0", 1), "turns[0].documents[0]: '1' found, an object expected");
  EXPECT_EQ(with("/said/shared", 7), "said.shared: '7' found, a number from 0 to 6 expected");
  EXPECT_EQ(with("/said/ids/0", -1), "said.ids[0]: '-1' found, a number from 0 to 2147483647 expected");
  EXPECT_EQ(with("/said/marks/0", 3), "said.marks[0]: '3' found, two numbers expected");
  EXPECT_EQ(with("/said/marks/1/1", 99), "said.marks[1]: '99' found, a number from 0 to 8 expected");
  EXPECT_EQ(with("/said/marks/0/0", 5), "") << "marks may meet";
  EXPECT_EQ(with("/said/marks/1/0", 1), "said.marks: not ascending within ids and text");
  EXPECT_EQ(with("/settings/0", "temp"), "settings[0]: '\"temp\"' found, a name and a value expected");
  Json missing = right;
  missing.erase("system");
  EXPECT_EQ(complaint(missing.dump()), "system: is missing");
  EXPECT_NE(complaint("[]").find("an object expected"), std::string::npos);
  EXPECT_NE(complaint("{").find("no JSON"), std::string::npos);
  EXPECT_NE(complaint(std::string(100000, '[')).find("too deeply"), std::string::npos);
}

}  // namespace
}  // namespace precis::test
