// Text to ids and back, as a checkpoint's tokenizer files say.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "precis/chat_message.h"
#include "precis/chat_prompt.h"

namespace precis {

class Tokenizer;

// Thread-safe. A folder with only tokenizer files is enough.
class TextCodec {
 public:
  // Throws std::runtime_error when the folder has no tokenizer or a file of it is wrong.
  explicit TextCodec(const std::filesystem::path& folder);
  ~TextCodec();
  TextCodec(TextCodec&&) noexcept;
  TextCodec& operator=(TextCodec&&) noexcept;

  // `special`: texts of special tokens become their ids, and the model's bos is added where the model wants one.
  // Without it every character of `text` is text, and nothing is added.
  std::vector<std::int32_t> encode(std::string_view text, bool special) const;
  // As a prompt typed by a user: bos where the model wants one; special tokens in the text stay text.
  std::vector<std::int32_t> encode_prompt(std::string_view text) const;
  std::string decode(std::span<const std::int32_t> ids, bool show_special) const;
  // What the vocabulary calls an id: "▁the", "<0x0A>", "Ġthe".
  std::string piece(std::int32_t id) const;
  std::int64_t vocabulary() const;
  std::optional<std::int32_t> begin_id() const;

  // A conversation through the model's chat template, up to where the assistant is to speak. Special tokens in the
  // messages stay text. `name`: as ChatOptions::chat_template. Throws when the model has no template, when it is no
  // Jinja known here (docs/chat-templates.md), and when it refuses the conversation.
  std::vector<std::int32_t> encode_chat(std::span<const ChatMessage> messages, const std::string& name) const;
  // The same as text, and with choices. encode_segments() makes ids of it; both together are encode_chat().
  ChatPrompt render_chat(std::span<const ChatMessage> messages, const ChatOptions& options) const;
  // The ids of the segments' joined text, nothing added; special tokens where a segment says so.
  std::vector<std::int32_t> encode_segments(std::span<const PromptSegment> segments) const;
  // Between what the model thinks; nothing where neither its template nor its added tokens know such tags. Throws as
  // encode_chat().
  std::optional<ThinkTags> think_tags(const std::string& name) const;

  const Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  std::unique_ptr<Tokenizer> tokenizer_;
};

}  // namespace precis
