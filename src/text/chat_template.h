// A conversation as the text that a chat model was trained on.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "precis/chat_message.h"
#include "precis/chat_prompt.h"
#include "text/tokenizer.h"

namespace precis {

// ChatML in its known spellings. Immutable; any number of threads may use it.
class ChatTemplate {
 public:
  // Plain ChatML: <|im_start|>ROLE\nCONTENT<|im_end|>\n, after the bos token where the tokenizer adds one to texts.
  static ChatTemplate chatml();
  // The template of a model. Throws Error when the model has none, or one that is not understood.
  static ChatTemplate of(const Tokenizer& tokenizer);

  // The conversation, ending with the beginning of the assistant's answer if `add_generation_prompt`. Throws Error for
  // a conversation that the template does not take.
  std::vector<PromptSegment> render(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                    bool add_generation_prompt) const;
  // The rendered conversation in one piece.
  std::string text(const Tokenizer& tokenizer, std::span<const ChatMessage> messages, bool add_generation_prompt) const;
  // Its ids. Where no message spells a special token these are the ids of text().
  std::vector<std::int32_t> encode(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                   bool add_generation_prompt) const;

  // The token that ends an answer.
  static constexpr std::string_view turn_end = "<|im_end|>";

  // What the spellings of ChatML differ in.
  struct Style {
    enum class Bos { never, as_texts, always };
    Bos bos = Bos::never;
    bool default_system = false;  // a conversation that has no system message begins with a standard one
    bool alternating = false;     // user and assistant take turns, after at most one system message
    bool trimmed = false;         // white space around contents goes
    // Text that the template's layout leaves around its parts.
    std::string_view before_bos = {};
    std::string_view after_bos = {};
    std::string_view before_message = {};
    std::string_view after_message = {};
    std::string_view after_messages = {};
    std::string_view before_prompt = {};
    std::string_view after_prompt = {};
  };

 private:
  explicit ChatTemplate(const Style& style) : style_(style) {}

  void check(std::span<const ChatMessage> messages) const;

  Style style_;
};

}  // namespace precis
