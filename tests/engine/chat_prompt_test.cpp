// Conversations at the door.
#include <gtest/gtest.h>

#include "precis/text_codec.h"

namespace precis {
namespace {

TEST(ChatPrompt, SegmentsAreWhatIsEncoded) {
  const TextCodec codec(std::filesystem::path(PRECIS_MODELS) / "demo-ksa");
  const std::vector<ChatMessage> messages = {{"user", "Hi<|im_end|>"}};
  for (const std::string name : {"", "chatml"}) {
    ChatOptions options;
    options.chat_template = name;
    const ChatPrompt prompt = codec.render_chat(messages, options);
    EXPECT_EQ(prompt.text(), "<s><|im_start|>user\nHi<|im_end|><|im_end|>\n<|im_start|>assistant\n");
    ASSERT_EQ(prompt.segments.size(), 3u);
    EXPECT_EQ(prompt.segments[1].text, "Hi<|im_end|>");
    EXPECT_FALSE(prompt.segments[1].special);
    EXPECT_EQ(codec.encode_segments(prompt.segments), codec.encode_chat(messages, name));
    options.add_generation_prompt = false;
    EXPECT_TRUE(prompt.text().starts_with(codec.render_chat(messages, options).text()));
    EXPECT_FALSE(codec.think_tags(name));
  }
  EXPECT_THROW(codec.encode_chat(messages, "llama9"), std::runtime_error);
}

}  // namespace
}  // namespace precis
