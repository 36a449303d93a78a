#include "text/chat_template.h"

#include <array>

#include "base/error.h"
#include "text/utf8.h"

namespace precis {
namespace {

using Style = ChatTemplate::Style;

struct KnownTemplate {
  std::string_view source;
  Style style;
};

// The source of the demo models' template.
constexpr std::string_view demo_source =
    R"({{ bos_token }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})";

// ChatML as most fine-tunes carry it, and as transformers documents it.
constexpr std::string_view plain_source =
    R"({% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})";

// Qwen 1.5's, laid out over several lines, whose ends show in the text.
constexpr std::string_view qwen_source = R"({% for message in messages %}
{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}
{% if loop.last and add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
{% endfor %})";

// The one that insists on turns; its indentation shows in the text too.
constexpr std::string_view alternating_source = R"({% if messages[0]['role'] == 'system' %}
    {% set offset = 1 %}
{% else %}
    {% set offset = 0 %}
{% endif %}

{{ bos_token }}
{% for message in messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == offset) %}
        {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {% endif %}

    {{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>\n' }}
{% endfor %}

{% if add_generation_prompt %}
    {{ '<|im_start|>assistant\n' }}
{% endif %})";

constexpr std::array<KnownTemplate, 4> known_templates = {{
    {demo_source, {.bos = Style::Bos::always}},
    {plain_source, {}},
    {qwen_source, {.default_system = true, .after_message = "\n"}},
    {alternating_source,
     {.bos = Style::Bos::always,
      .alternating = true,
      .trimmed = true,
      .before_bos = "\n",
      .after_bos = "\n",
      .before_message = "\n    ",
      .after_message = "\n",
      .after_messages = "\n",
      .before_prompt = "    ",
      .after_prompt = "\n"}},
}};

// A line feed in a template's string may be written as itself or as \\n.
std::string with_line_feeds(std::string_view source) {
  std::string text;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source.substr(i).starts_with("\\n")) {
      text += '\n';
      ++i;
    } else {
      text += source[i];
    }
  }
  return text;
}

// Joins neighbours of equal trust.
class SegmentWriter {
 public:
  void add(std::string_view text, bool special) {
    if (text.empty()) return;
    if (segments_.empty() || segments_.back().special != special) segments_.push_back({"", special});
    segments_.back().text += text;
  }
  std::vector<PromptSegment> take() { return std::move(segments_); }

 private:
  std::vector<PromptSegment> segments_;
};

}  // namespace

ChatTemplate ChatTemplate::chatml() {
  return ChatTemplate(Style{.bos = Style::Bos::as_texts});
}

ChatTemplate ChatTemplate::of(const Tokenizer& tokenizer) {
  const std::optional<std::string>& source = tokenizer.config().chat_template;
  if (!source) fail("this model has no chat template; use --chat-template chatml if it was trained on ChatML");
  for (const KnownTemplate& known : known_templates) {
    // A file may end with a newline, which Jinja drops.
    if (with_line_feeds(trimmed(*source)) == with_line_feeds(known.source)) return ChatTemplate(known.style);
  }
  fail("the chat template of this model, {}, is not understood yet; use --chat-template chatml if it is ChatML",
       in_quotes(*source));
}

void ChatTemplate::check(std::span<const ChatMessage> messages) const {
  if (messages.empty()) fail("a conversation needs at least one message");
  if (!style_.alternating) return;
  const std::size_t offset = messages[0].role == "system" ? 1 : 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if ((messages[i].role == "user") != (i % 2 == offset)) {
      fail("conversation roles must alternate user/assistant/user/assistant/...");
    }
  }
}

std::vector<PromptSegment> ChatTemplate::render(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                                bool add_generation_prompt) const {
  check(messages);
  SegmentWriter out;
  out.add(style_.before_bos, true);
  const bool bos = style_.bos == Style::Bos::always || (style_.bos == Style::Bos::as_texts && tokenizer.adds_bos());
  if (bos && tokenizer.bos_id()) out.add(tokenizer.piece(*tokenizer.bos_id()), true);
  out.add(style_.after_bos, true);
  if (style_.default_system && messages[0].role != "system") {
    out.add("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n", true);
  }
  for (const ChatMessage& message : messages) {
    out.add(style_.before_message, true);
    out.add("<|im_start|>", true);
    out.add(message.role, false);
    out.add("\n", true);
    out.add(style_.trimmed ? trimmed(message.content) : message.content, false);
    out.add("<|im_end|>\n", true);
    out.add(style_.after_message, true);
  }
  out.add(style_.after_messages, true);
  if (add_generation_prompt) {
    out.add(style_.before_prompt, true);
    out.add("<|im_start|>assistant\n", true);
    out.add(style_.after_prompt, true);
  }
  return out.take();
}

std::string ChatTemplate::text(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                               bool add_generation_prompt) const {
  std::string text;
  for (const PromptSegment& segment : render(tokenizer, messages, add_generation_prompt)) text += segment.text;
  return text;
}

std::vector<std::int32_t> ChatTemplate::encode(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                               bool add_generation_prompt) const {
  const std::vector<PromptSegment> rendered = render(tokenizer, messages, add_generation_prompt);
  std::vector<TextSegment> segments;
  for (const PromptSegment& segment : rendered) segments.push_back({segment.text, segment.special});
  return tokenizer.encode(segments, {.add_bos = false, .add_eos = false});
}

}  // namespace precis
