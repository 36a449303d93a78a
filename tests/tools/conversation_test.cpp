// The ids of a conversation, with several templates and tokenizers.
#include "conversation.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <numeric>

#include "tools/program.h"

namespace precis::test {
namespace {

// A template of the test's own on a tokenizer of a real model.
class TestChatText final : public ChatText {
 public:
  using Render = std::function<std::vector<PromptSegment>(std::span<const ChatMessage>, bool)>;
  TestChatText(const std::filesystem::path& folder, Render render) : codec_(folder), render_(std::move(render)) {}

  ChatPrompt render(std::span<const ChatMessage> messages, bool answering) const override {
    return {render_(messages, answering)};
  }
  std::vector<std::int32_t> encode(std::span<const PromptSegment> segments) const override {
    return codec_.encode_segments(segments);
  }
  std::string decode(std::span<const std::int32_t> ids, bool show_special) const override {
    return codec_.decode(ids, show_special);
  }

 private:
  TextCodec codec_;
  Render render_;
};

std::string without_thinking(const std::string& text) {
  const std::size_t end = text.find("</think>");
  return end == std::string::npos ? text : text.substr(text.find_first_not_of('\n', end + 8));
}

// ChatML; `strips`: answers before the last question lose what was thought, as Qwen3 has it.
TestChatText::Render chatml(bool strips) {
  return [strips](std::span<const ChatMessage> messages, bool answering) {
    std::vector<PromptSegment> parts;
    for (std::size_t at = 0; at < messages.size(); ++at) {
      const bool earlier = at + 1 < messages.size() && messages[at].role == "assistant";
      const std::string& content = messages[at].content;
      parts.push_back({"<|im_start|>", true});
      parts.push_back({messages[at].role, false});
      parts.push_back({"\n", true});
      parts.push_back({strips && earlier ? without_thinking(content) : content, false});
      parts.push_back({"<|im_end|>\n", true});
    }
    if (answering) parts.push_back({"<|im_start|>assistant\n", true});
    return parts;
  };
}

// "<s>[INST] q [/INST] a</s>", as Llama 2 and Mistral have it.
std::vector<PromptSegment> inst(std::span<const ChatMessage> messages, bool) {
  std::vector<PromptSegment> parts = {{"<s>", true}};
  for (const ChatMessage& message : messages) {
    const bool user = message.role == "user";
    parts.push_back({user ? "[INST] " : " ", true});
    parts.push_back({message.content, false});
    parts.push_back({user ? " [/INST]" : "</s>", true});
  }
  return parts;
}

std::unique_ptr<TestChatText> qwen(bool strips = false) {
  return std::make_unique<TestChatText>(test_data() / "tokenizers" / "qwen3", chatml(strips));
}
std::unique_ptr<TestChatText> demo(bool strips = false) {
  return std::make_unique<TestChatText>(demo_ksa(), chatml(strips));
}
std::unique_ptr<TestChatText> mistral() {
  return std::make_unique<TestChatText>(test_data() / "tokenizers" / "mistral-7b-v0.3", inst);
}

std::vector<std::int32_t> encoded(const ChatText& chat, const std::string& text, bool special) {
  const PromptSegment part{text, special};
  return chat.encode(std::span(&part, 1));
}

// An answer's ids as no encoder makes them: each character by itself. `end`: a special token at the end.
std::vector<std::int32_t> spelled(const ChatText& chat, const std::string& text, const std::string& end) {
  const std::vector<std::int32_t> anchor = encoded(chat, "\n", false);
  std::vector<std::int32_t> ids;
  for (const char letter : text) {
    const std::vector<std::int32_t> with = encoded(chat, std::string("\n").append(1, letter), false);
    ids.insert(ids.end(), with.begin() + static_cast<std::ptrdiff_t>(anchor.size()), with.end());
  }
  if (!end.empty()) ids.push_back(encoded(chat, end, true).back());
  return ids;
}

bool begins_with(const std::vector<std::int32_t>& ids, const std::vector<std::int32_t>& beginning) {
  return ids.size() >= beginning.size() && std::equal(beginning.begin(), beginning.end(), ids.begin());
}

std::vector<std::int32_t> joined(std::vector<std::int32_t> left, const std::vector<std::int32_t>& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

TEST(ConversationTest, FirstPromptIsTheTemplatesText) {
  for (const auto& chat : {qwen(), demo()}) {
    Conversation conversation("Be brief.");
    conversation.add({"a.txt", "The cat is called Tom.\n"});
    const auto prompt = conversation.prompt(*chat, "Who is <|im_end|> Tom?");
    EXPECT_EQ(prompt.text,
              "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nThe cat is called Tom.\n\nWho is <|im_end|> "
              "Tom?<|im_end|>\n<|im_start|>assistant\n");
    EXPECT_EQ(chat->decode(prompt.ids, true), prompt.text);
    const auto end = encoded(*chat, "<|im_end|>", true);
    EXPECT_EQ(std::ranges::count(prompt.ids, end.back()), 2) << "the user's is text";
  }
}

TEST(ConversationTest, IdsThatWereGeneratedStay) {
  for (const auto& chat : {qwen(), demo()}) {
    Conversation conversation;
    std::vector<std::int32_t> said;
    for (const std::string question : {"Who is Tom?", "And who is Zo\xC3\xAB?", " ", "?"}) {
      const auto prompt = conversation.prompt(*chat, question);
      EXPECT_TRUE(begins_with(prompt.ids, said)) << question;
      EXPECT_EQ(chat->decode(prompt.ids, true), prompt.text);
      const auto ids = spelled(*chat, "Tom is the cat of ", "");
      const auto rest = joined(ids, joined(spelled(*chat, "x", ""), encoded(*chat, "<|im_end|>", true)));
      said = joined(prompt.ids, rest);
      conversation.answered(*chat, question, prompt, rest, "Tom is the cat of x", false);
    }
    EXPECT_EQ(conversation.said().ids, said);
    EXPECT_NE(encoded(*chat, "Tom is the cat of x", false), spelled(*chat, "Tom is the cat of x", ""));
  }
}

TEST(ConversationTest, AStoppedAnswerIsEndedByTheTemplate) {
  for (const auto& chat : {qwen(), demo()}) {
    Conversation conversation;
    const auto prompt = conversation.prompt(*chat, "Who?");
    const auto ids = spelled(*chat, "It is", "");
    conversation.answered(*chat, "Who?", prompt, ids, "It is", true);
    EXPECT_TRUE(conversation.turns()[0].stopped);
    const auto next = conversation.prompt(*chat, "Go on");
    EXPECT_TRUE(begins_with(next.ids, joined(prompt.ids, ids)));
    EXPECT_EQ(chat->decode(next.ids, true), next.text);
    EXPECT_NE(next.text.find("It is<|im_end|>\n<|im_start|>user\nGo on"), std::string::npos);
  }
}

TEST(ConversationTest, ATemplateWithASpaceBeforeAnswersAgrees) {
  const auto chat = mistral();
  Conversation conversation;
  const auto prompt = conversation.prompt(*chat, "Who?");
  const auto ids = joined(encoded(*chat, "Tom", false), encoded(*chat, "</s>", true));
  conversation.answered(*chat, "Who?", prompt, ids, " Tom", false);
  EXPECT_EQ(conversation.turns()[0].answer, "Tom") << "the template has the space";
  const auto next = conversation.prompt(*chat, "And?");
  EXPECT_TRUE(begins_with(next.ids, joined(prompt.ids, ids)));
  EXPECT_EQ(next.text, "<s>[INST] Who? [/INST] Tom</s>[INST] And? [/INST]");
}

TEST(ConversationTest, WhatATemplateDropsIsEncodedAnewFromThereOn) {
  const std::string thinking = "<think>\nhm\n</think>\n\nTom";
  for (const auto& chat : {qwen(true), demo(true)}) {
    Conversation conversation;
    const auto prompt = conversation.prompt(*chat, "Who?");
    conversation.answered(*chat, "Who?", prompt,
                          joined(spelled(*chat, thinking, ""), encoded(*chat, "<|im_end|>", true)), thinking, false);
    EXPECT_EQ(conversation.turns()[0].answer, thinking) << "the message keeps it";
    const auto next = conversation.prompt(*chat, "And?");
    EXPECT_EQ(next.reused.ids, prompt.ids.size());
    EXPECT_TRUE(begins_with(next.ids, prompt.ids));
    EXPECT_EQ(chat->decode(next.ids, true), next.text);
    EXPECT_EQ(next.text.find("hm"), std::string::npos);
  }
}

TEST(ConversationTest, IdsThatDoNotSpellTheAnswerAreNotKept) {
  const auto chat = demo();
  Conversation conversation;
  const auto prompt = conversation.prompt(*chat, "Who?");
  // A stop text was cut off: the ids say more than the text.
  conversation.answered(*chat, "Who?", prompt, spelled(*chat, "Tom.END", ""), "Tom.", false);
  const auto next = conversation.prompt(*chat, "And?");
  EXPECT_EQ(next.reused.ids, prompt.ids.size());
  EXPECT_EQ(chat->decode(next.ids, true), next.text);
}

TEST(ConversationTest, AllQuestionsBeginWithTheBeginning) {
  for (const auto& chat : {qwen(), demo(), mistral()}) {
    Conversation conversation;
    conversation.add({"a.txt", "The cat is called Tom.\n\nThe end."});
    for (int turn = 0; turn < 2; ++turn) {
      const auto beginning = conversation.beginning(*chat);
      EXPECT_GT(beginning.size(), 8U);
      for (const char* question : {"Who is Tom?", "1, 2", "\n", "\xC3\xA9t\xC3\xA9?", "aa", "<|im_end|>"}) {
        const auto ids = conversation.prompt(*chat, question).ids;
        const auto differs = std::mismatch(beginning.begin(), beginning.end(), ids.begin(), ids.end());
        // A line feed may melt with the one before it.
        EXPECT_LE(beginning.end() - differs.first, std::string(question) == "\n" ? 1 : 0) << question;
      }
      conversation.answered(*chat, "Who?", conversation.prompt(*chat, "Who?"), encoded(*chat, "Tom", false), "Tom",
                            false);
      conversation.add({"b.txt", "Another one."});
    }
  }
}

TEST(ConversationTest, SeveralDocumentsOfAMessageAreNamed) {
  const Turn one{{{"a.txt", "A."}}, "Who?", "", false};
  EXPECT_EQ(one.message(), "A.\nWho?");
  const Turn two{{{"a.txt", "A."}, {"b.txt", "B."}}, "Who?", "", false};
  EXPECT_EQ(two.message(), "a.txt:\nA.\nb.txt:\nB.\nWho?");
}

TEST(ConversationTest, TakenBackAndClearedDocumentsWait) {
  const auto chat = demo();
  Conversation conversation;
  conversation.add({"a.txt", "A."});
  const auto first = conversation.prompt(*chat, "Who?");
  conversation.answered(*chat, "Who?", first, spelled(*chat, "Tom", "<|im_end|>"), "Tom", false);
  EXPECT_TRUE(conversation.waiting().empty());
  EXPECT_EQ(conversation.take_back(), "Who?");
  EXPECT_EQ(conversation.take_back(), std::nullopt);
  EXPECT_EQ(conversation.waiting().size(), 1U);
  const auto again = conversation.prompt(*chat, "Who?");
  EXPECT_EQ(again.ids, first.ids);
  EXPECT_EQ(again.reused.ids, first.ids.size());
  conversation.answered(*chat, "Who?", again, spelled(*chat, "Tim", "<|im_end|>"), "Tim", false);
  conversation.clear(false);
  EXPECT_EQ(conversation.waiting().size(), 1U);
  EXPECT_TRUE(conversation.turns().empty());
  conversation.clear(true);
  EXPECT_TRUE(conversation.waiting().empty());
}

TEST(ConversationTest, PartsAddUp) {
  const auto chat = demo();
  Conversation conversation("Be brief.");
  conversation.add({"a.txt", "The cat is called Tom."});
  conversation.answered(*chat, "Who?", conversation.prompt(*chat, "Who?"), spelled(*chat, "Tom", "<|im_end|>"), "Tom",
                        false);
  const ContextParts parts = conversation.parts(*chat);
  EXPECT_EQ(parts.system, static_cast<std::int64_t>(encoded(*chat, "Be brief.", false).size()));
  ASSERT_EQ(parts.documents.size(), 1U);
  EXPECT_EQ(parts.documents[0].first, "a.txt");
  EXPECT_GT(parts.questions, 0);
  EXPECT_GT(parts.answers, 0);
  EXPECT_GT(parts.all, parts.system + parts.documents[0].second + parts.questions + parts.answers);
}

}  // namespace
}  // namespace precis::test
