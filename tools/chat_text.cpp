#include "chat_text.h"

#include <array>
#include <utility>

namespace precis {

std::string ChatText::special_text(std::int32_t id) const {
  const std::array<std::int32_t, 1> one = {id};
  return decode(one, false).empty() ? decode(one, true) : "";
}

std::int64_t ChatText::count(const std::string& text) const {
  const std::array<ChatPart, 1> one = {ChatPart{text, false}};
  return text.empty() ? 0 : static_cast<std::int64_t>(encode(one).size());
}

CodecChatText::CodecChatText(const TextCodec& codec, std::string name) : codec_(codec), name_(std::move(name)) {
  const std::array<ChatMessage, 1> probe = {ChatMessage{"user", "?"}};
  codec_.render_chat(probe, name_, true);
}

std::vector<ChatPart> CodecChatText::render(std::span<const ChatMessage> messages, bool answering) const {
  std::vector<ChatPart> parts;
  for (ChatSegment& segment : codec_.render_chat(messages, name_, answering)) {
    parts.push_back({std::move(segment.text), segment.special});
  }
  return parts;
}

std::vector<std::int32_t> CodecChatText::encode(std::span<const ChatPart> parts) const {
  std::vector<ChatSegment> segments;
  for (const ChatPart& part : parts) segments.push_back({part.text, part.special});
  return codec_.encode(segments);
}

std::string CodecChatText::decode(std::span<const std::int32_t> ids, bool show_special) const {
  return codec_.decode(ids, show_special);
}

}  // namespace precis
