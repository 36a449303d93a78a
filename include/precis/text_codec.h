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

namespace precis {

class Tokenizer;

// A stretch of a rendered conversation. `special`: the template's own text, whose special tokens are meant; what a
// message says stays text.
struct ChatSegment {
  std::string text;
  bool special = false;
};

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
  // messages stay text. `name`: "" (the model's own) or "chatml". Throws when the model has no template or one that is
  // not understood.
  std::vector<std::int32_t> encode_chat(std::span<const ChatMessage> messages, const std::string& name) const;

  // The same before it is encoded. `answering`: up to where the assistant is to speak.
  std::vector<ChatSegment> render_chat(std::span<const ChatMessage> messages, const std::string& name,
                                       bool answering) const;
  // The ids of the segments' joined text; nothing is added.
  std::vector<std::int32_t> encode(std::span<const ChatSegment> segments) const;

  const Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  std::unique_ptr<Tokenizer> tokenizer_;
};

}  // namespace precis
