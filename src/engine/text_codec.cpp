#include "precis/text_codec.h"

#include "base/error.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace precis {

TextCodec::TextCodec(const std::filesystem::path& folder) : tokenizer_(open_tokenizer(Folder(folder))) {}
TextCodec::~TextCodec() = default;
TextCodec::TextCodec(TextCodec&&) noexcept = default;
TextCodec& TextCodec::operator=(TextCodec&&) noexcept = default;

std::vector<std::int32_t> TextCodec::encode(std::string_view text, bool special) const {
  if (special) return tokenizer_->encode(text, {.add_bos = {}, .add_eos = false, .parse_special = true});
  return tokenizer_->encode(text, {.add_bos = false, .add_eos = false, .parse_special = false});
}

std::vector<std::int32_t> TextCodec::encode_prompt(std::string_view text) const {
  // No eos, whatever the files say: a prompt is to be gone on with.
  return tokenizer_->encode(text, {.add_bos = {}, .add_eos = false, .parse_special = false});
}

std::string TextCodec::decode(std::span<const std::int32_t> ids, bool show_special) const {
  return tokenizer_->decode(ids, !show_special);
}

std::string TextCodec::piece(std::int32_t id) const {
  return tokenizer_->piece(id);
}
std::int64_t TextCodec::vocabulary() const {
  return tokenizer_->vocab_size();
}
std::optional<std::int32_t> TextCodec::begin_id() const {
  return tokenizer_->bos_id();
}

namespace {

ChatTemplate template_named(const std::string& name, const Tokenizer& tokenizer) {
  if (!name.empty() && name != "chatml") fail("chat template: '{}', expected chatml", name);
  return name.empty() ? ChatTemplate::of(tokenizer) : ChatTemplate::chatml();
}

}  // namespace

std::vector<std::int32_t> TextCodec::encode_chat(std::span<const ChatMessage> messages, const std::string& name) const {
  return template_named(name, *tokenizer_).encode(*tokenizer_, messages, true);
}

std::vector<ChatSegment> TextCodec::render_chat(std::span<const ChatMessage> messages, const std::string& name,
                                                bool answering) const {
  std::vector<ChatSegment> segments;
  for (PromptSegment& segment : template_named(name, *tokenizer_).render(*tokenizer_, messages, answering)) {
    segments.push_back({std::move(segment.text), segment.special});
  }
  return segments;
}

std::vector<std::int32_t> TextCodec::encode(std::span<const ChatSegment> segments) const {
  std::vector<TextSegment> texts;
  for (const ChatSegment& segment : segments) texts.push_back({segment.text, segment.special});
  return tokenizer_->encode(texts, {.add_bos = false, .add_eos = false});
}

}  // namespace precis
