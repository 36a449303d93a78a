#include "chat/chat_template.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "chat/builtin_templates.h"
#include "text/utf8.h"

namespace precis {
namespace {

using jinja::Value;
using jinja::Variables;

constexpr std::int64_t longest_file = 256 << 10;

// What models in use write around their thoughts.
constexpr std::pair<std::string_view, std::string_view> known_tags[] = {
    {"<think>", "</think>"},         {"<thinking>", "</thinking>"},     {"<thought>", "</thought>"},
    {"<reasoning>", "</reasoning>"}, {"<seed:think>", "</seed:think>"}, {"[THINK]", "[/THINK]"},
};

std::string names_and_file() {
  return fmt::format("{} or a file", fmt::join(builtin_template_names(), ", "));
}

// A role is the program's, but it may come from a file too: only words that are roles may be part of a special token
// ('<|' + role + '|>').
bool is_known_role(std::string_view role) {
  constexpr std::string_view roles[] = {"system", "user", "assistant", "tool", "developer", "function", "ipython"};
  return std::find(std::begin(roles), std::end(roles), role) != std::end(roles);
}

Value json_value(const std::string& text, const std::string& name) {
  JsonView::parse(text, name);  // refuses what is malformed or deep
  return within(name, [&] { return jinja::from_json(nlohmann::ordered_json::parse(text), false); });
}

Value message_list(std::span<const ChatMessage> messages) {
  std::vector<Value> list;
  for (const ChatMessage& message : messages) {
    list.push_back(jinja::make_dict(
        {{jinja::make_text("role"), jinja::make_text(to_utf8(message.role), is_known_role(message.role))},
         {jinja::make_text("content"), jinja::make_text(to_utf8(message.content), false)}}));
  }
  return jinja::make_list(std::move(list));
}

std::optional<std::string> begin_token(const Tokenizer& tokenizer) {
  if (tokenizer.config().bos_token) return tokenizer.config().bos_token;
  if (tokenizer.bos_id()) return tokenizer.piece(*tokenizer.bos_id());
  return std::nullopt;
}

std::optional<std::string> end_token(const Tokenizer& tokenizer) {
  if (tokenizer.config().eos_token) return tokenizer.config().eos_token;
  if (!tokenizer.eos_ids().empty()) return tokenizer.piece(tokenizer.eos_ids().front());
  return std::nullopt;
}

Variables variables_of(const Tokenizer& tokenizer, std::span<const ChatMessage> messages, const ChatOptions& options) {
  Variables variables;
  variables.emplace_back("messages", message_list(messages));
  variables.emplace_back("tools", options.tools.empty() ? Value(jinja::None{}) : json_value(options.tools, "tools"));
  variables.emplace_back("documents", jinja::None{});
  variables.emplace_back("add_generation_prompt", options.add_generation_prompt);
  const auto add_token = [&](const char* name, const std::optional<std::string>& token) {
    if (token) variables.emplace_back(name, jinja::make_text(to_utf8(*token)));
  };
  const std::optional<std::string> begin = begin_token(tokenizer);
  add_token("bos_token", begin);
  add_token("eos_token", end_token(tokenizer));
  add_token("unk_token", tokenizer.config().unk_token);
  add_token("bos_of_texts", tokenizer.adds_bos() ? begin.value_or("") : "");
  for (const auto& [name, json] : options.variables) {
    const bool taken = std::any_of(variables.begin(), variables.end(),
                                   [&name = name](const auto& variable) { return variable.first == name; });
    if (taken) fail("template variable {}: it is set already", in_quotes(name));
    variables.emplace_back(name, json_value(json, fmt::format("template variable {}", in_quotes(name))));
  }
  return variables;
}

// In measure with the conversation: a template copies it some times, not some hundred times.
jinja::Limits limits_for(std::span<const ChatMessage> messages, const ChatOptions& options) {
  auto bytes = static_cast<std::int64_t>(options.tools.size());
  for (const ChatMessage& message : messages) bytes += static_cast<std::int64_t>(message.content.size());
  jinja::Limits limits;
  limits.steps += 2'000 * static_cast<std::int64_t>(messages.size());
  limits.bytes += 64 * bytes;
  limits.output = (16ll << 20) + 8 * bytes;
  return limits;
}

std::vector<PromptSegment> segments_of(const jinja::MarkedText& text) {
  std::vector<PromptSegment> segments;
  std::size_t begin = 0;
  for (const auto& run : text.runs()) {
    segments.push_back({std::string(text.bytes().substr(begin, run.end - begin)), run.trusted});
    begin = run.end;
  }
  return segments;
}

}  // namespace

ChatTemplate::ChatTemplate(std::string place, std::string_view source)
    : place_(std::move(place)), source_(source), template_(within(place_, [&] { return jinja::Template(source); })) {}

ChatTemplate ChatTemplate::of(const Tokenizer& tokenizer) {
  const TokenizerConfig& config = tokenizer.config();
  if (!config.chat_template) {
    fail("{}: this model has no chat template; --chat-template names the one that it was trained on: {}", config.place,
         names_and_file());
  }
  return ChatTemplate(config.chat_template_place, *config.chat_template);
}

ChatTemplate ChatTemplate::named(const std::string& name_or_file) {
  if (const auto source = builtin_template(name_or_file)) {
    return ChatTemplate("chat template " + name_or_file, *source);
  }
  std::error_code ignored;
  if (name_or_file.find('/') == std::string::npos && !std::filesystem::exists(name_or_file, ignored)) {
    fail("chat template: {}, expected {}", in_quotes(name_or_file), names_and_file());
  }
  return ChatTemplate(name_or_file, read_text(name_or_file, longest_file));
}

ChatTemplate ChatTemplate::choose(const Tokenizer& tokenizer, const std::string& name) {
  return name.empty() ? of(tokenizer) : named(name);
}

ChatPrompt ChatTemplate::render(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                const ChatOptions& options) const {
  if (messages.empty()) fail("a conversation needs at least one message");
  const Variables variables = variables_of(tokenizer, messages, options);
  const jinja::MarkedText text =
      within(place_, [&] { return template_.render(variables, limits_for(messages, options)); });
  ChatPrompt prompt;
  prompt.segments = segments_of(text);
  if (const auto tags = options.add_generation_prompt ? think_tags(tokenizer) : std::nullopt) {
    const std::string_view end = trimmed(text.bytes());
    prompt.thinking = end.ends_with(tags->open) &&
                      text.trusted_at(static_cast<std::size_t>(end.data() + end.size() - text.bytes().data()) - 1);
  }
  return prompt;
}

std::optional<ThinkTags> ChatTemplate::think_tags(const Tokenizer& tokenizer) const {
  for (const auto& [open, close] : known_tags) {
    if (source_.find(open) != std::string::npos && source_.find(close) != std::string::npos) {
      return ThinkTags{std::string(open), std::string(close)};
    }
  }
  for (const auto& [open, close] : known_tags) {
    if (tokenizer.id_of(open) && tokenizer.id_of(close)) return ThinkTags{std::string(open), std::string(close)};
  }
  return std::nullopt;
}

std::vector<std::int32_t> encode_segments(const Tokenizer& tokenizer, std::span<const PromptSegment> segments) {
  std::vector<TextSegment> views;
  for (const PromptSegment& segment : segments) views.push_back({segment.text, segment.special});
  return tokenizer.encode(views, {.add_bos = false, .add_eos = false});
}

std::vector<std::string> chat_template_names() {
  std::vector<std::string> names;
  for (const std::string_view name : builtin_template_names()) names.emplace_back(name);
  return names;
}

}  // namespace precis
