#include "chat_text.h"

#include <array>
#include <utility>

namespace precis {

std::string ChatText::special_text(std::int32_t id) const {
  const std::array<std::int32_t, 1> one = {id};
  return decode(one, false).empty() ? decode(one, true) : "";
}

std::int64_t ChatText::count(const std::string& text) const {
  const std::array<PromptSegment, 1> one = {PromptSegment{text, false}};
  return text.empty() ? 0 : static_cast<std::int64_t>(encode(one).size());
}

CodecChatText::CodecChatText(const TextCodec& codec, std::string name) : codec_(&codec), name_(std::move(name)) {
  const std::array<ChatMessage, 1> probe = {ChatMessage{"user", "?"}};
  render(probe, true);
}

ChatPrompt CodecChatText::render(std::span<const ChatMessage> messages, bool answering) const {
  return codec_->render_chat(
      messages, {.chat_template = name_, .add_generation_prompt = answering, .tools = "", .variables = {}});
}

std::vector<std::int32_t> CodecChatText::encode(std::span<const PromptSegment> segments) const {
  return codec_->encode_segments(segments);
}

std::string CodecChatText::decode(std::span<const std::int32_t> ids, bool show_special) const {
  return codec_->decode(ids, show_special);
}

}  // namespace precis
