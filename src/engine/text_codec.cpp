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

std::vector<std::int32_t> TextCodec::encode_chat(std::span<const ChatMessage> messages, const std::string& name) const {
  return encode_segments(render_chat(messages, {.chat_template = name, .tools = "", .variables = {}}).segments);
}

ChatPrompt TextCodec::render_chat(std::span<const ChatMessage> messages, const ChatOptions& options) const {
  const std::string& name = options.chat_template;
  if (!name.empty() && name != "chatml") fail("chat template: '{}', expected chatml", name);
  const ChatTemplate chat = name.empty() ? ChatTemplate::of(*tokenizer_) : ChatTemplate::chatml();
  return {chat.render(*tokenizer_, messages, options.add_generation_prompt)};
}

std::vector<std::int32_t> TextCodec::encode_segments(std::span<const PromptSegment> segments) const {
  std::vector<TextSegment> texts;
  for (const PromptSegment& segment : segments) texts.push_back({segment.text, segment.special});
  return tokenizer_->encode(texts, {.add_bos = false, .add_eos = false});
}

std::optional<ThinkTags> TextCodec::think_tags(const std::string&) const {
  const ThinkTags tags{"<think>", "</think>"};
  return tokenizer_->id_of(tags.open) && tokenizer_->id_of(tags.close) ? std::optional(tags) : std::nullopt;
}

}  // namespace precis
