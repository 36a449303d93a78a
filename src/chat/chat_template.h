// A conversation through a model's chat template: docs/chat-templates.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/template.h"
#include "precis/chat_message.h"
#include "precis/chat_prompt.h"
#include "text/tokenizer.h"

namespace precis {

// Immutable; any number of threads may use it.
class ChatTemplate {
 public:
  // The template of a model. Throws Error when the model has none, or one that is no Jinja known here.
  static ChatTemplate of(const Tokenizer& tokenizer);
  // A built-in one, or one in a file. Throws Error naming both ways.
  static ChatTemplate named(const std::string& name_or_file);
  // As ChatOptions::chat_template says.
  static ChatTemplate choose(const Tokenizer& tokenizer, const std::string& name);

  // `options.chat_template` is not looked at. Throws Error("FILE: line 3: ...") for a conversation that the template
  // does not take, and one that costs too much.
  ChatPrompt render(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                    const ChatOptions& options = {}) const;

  // The tags that the template, or else the tokenizer's added tokens, speak of.
  std::optional<ThinkTags> think_tags(const Tokenizer& tokenizer) const;

 private:
  // `place`: what messages call it.
  ChatTemplate(std::string place, std::string_view source);

  std::string place_;
  std::string source_;
  jinja::Template template_;
};

// The ids of a rendered conversation. Nothing is added to it.
std::vector<std::int32_t> encode_segments(const Tokenizer& tokenizer, std::span<const PromptSegment> segments);

}  // namespace precis
