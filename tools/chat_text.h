// A conversation as text and as ids: the model's chat template and tokenizer, as the chat needs them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "precis/chat_message.h"
#include "precis/chat_prompt.h"
#include "precis/text_codec.h"

namespace precis {

// Thread-safe. Tests put templates of their own behind it.
class ChatText {
 public:
  virtual ~ChatText() = default;

  // Throws std::runtime_error for a conversation that the template does not take. `answering`: up to where the
  // assistant is to speak.
  virtual ChatPrompt render(std::span<const ChatMessage> messages, bool answering) const = 0;
  // The ids of the joined text. Nothing is added: a bos stands in the template.
  virtual std::vector<std::int32_t> encode(std::span<const PromptSegment> segments) const = 0;
  // With special tokens, or without.
  virtual std::string decode(std::span<const std::int32_t> ids, bool show_special) const = 0;

  // The text of a special token; empty for any other id.
  std::string special_text(std::int32_t id) const;
  // Tokens of a text of its own.
  std::int64_t count(const std::string& text) const;
};

// Through a codec, which must outlive it, and the template that --chat-template names (empty: the model's own).
class CodecChatText final : public ChatText {
 public:
  // Throws std::runtime_error when the model has no template and none is named.
  CodecChatText(const TextCodec& codec, std::string name);

  ChatPrompt render(std::span<const ChatMessage> messages, bool answering) const override;
  std::vector<std::int32_t> encode(std::span<const PromptSegment> segments) const override;
  std::string decode(std::span<const std::int32_t> ids, bool show_special) const override;

 private:
  const TextCodec* codec_;
  std::string name_;
};

}  // namespace precis
