#include "conversation.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <stdexcept>

namespace precis {

namespace {

// Without the first `bytes` bytes of the joined text.
std::vector<PromptSegment> behind(std::vector<PromptSegment> parts, std::size_t bytes) {
  std::size_t at = 0;
  while (at < parts.size() && bytes >= parts[at].text.size()) bytes -= parts[at++].text.size();
  parts.erase(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(at));
  if (!parts.empty()) parts[0].text.erase(0, bytes);
  return parts;
}

std::string trimmed(std::string_view text, bool behind_too) {
  constexpr std::string_view white = " \t\r\n";
  const std::size_t begin = std::min(text.find_first_not_of(white), text.size());
  const std::size_t end = behind_too && begin < text.size() ? text.find_last_not_of(white) + 1 : text.size();
  return std::string(text.substr(begin, end - begin));
}

// Whether the ids show as this text. A tokenizer that puts a space in front of a text takes it off again.
bool spell(const ChatText& chat, std::span<const std::int32_t> ids, const std::string& text) {
  const std::string shown = chat.decode(ids, true);
  return shown == text || " " + shown == text;
}

}  // namespace

std::string Turn::message() const {
  std::string text;
  for (const Document& document : documents) {
    if (documents.size() > 1) text += document.name + ":\n";
    text += document.text + "\n";
  }
  return text + question;
}

Said::Mark Said::agreed(std::string_view other) const {
  const std::size_t most = std::min(text.size(), other.size());
  const auto differs = std::mismatch(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(most), other.begin());
  const auto same = static_cast<std::size_t>(differs.first - text.begin());
  Mark last;
  for (const Mark& mark : marks) {
    if (mark.bytes <= same) last = mark;
  }
  return last;
}

void Said::cut(const Mark& mark) {
  ids.resize(mark.ids);
  text.resize(mark.bytes);
  std::erase_if(marks, [&](const Mark& other) { return other.ids > mark.ids || other.bytes > mark.bytes; });
}

void Said::add(std::span<const std::int32_t> more_ids, std::string_view more_text) {
  ids.insert(ids.end(), more_ids.begin(), more_ids.end());
  text += more_text;
  marks.push_back({ids.size(), text.size()});
}

Conversation::Conversation(std::string system, std::vector<Turn> turns, std::vector<Document> waiting, Said said)
    : system_(std::move(system)), turns_(std::move(turns)), waiting_(std::move(waiting)), said_(std::move(said)) {
  Said::Mark last;
  for (const Said::Mark& mark : said_.marks) {
    if (mark.ids < last.ids || mark.bytes < last.bytes || mark.ids > said_.ids.size() ||
        mark.bytes > said_.text.size()) {
      throw std::runtime_error("said.marks: not ascending within ids and text");
    }
    last = mark;
  }
}

void Conversation::drop_waiting(std::size_t count) {
  waiting_.resize(waiting_.size() - std::min(count, waiting_.size()));
}

void Conversation::clear(bool documents) {
  std::vector<Document> kept;
  if (!documents) {
    for (Turn& turn : turns_) std::ranges::move(turn.documents, std::back_inserter(kept));
    std::ranges::move(waiting_, std::back_inserter(kept));
  }
  turns_.clear();
  waiting_ = std::move(kept);
  said_ = {};
}

std::vector<ChatMessage> Conversation::messages() const {
  std::vector<ChatMessage> messages;
  if (!system_.empty()) messages.push_back({"system", system_});
  for (const Turn& turn : turns_) {
    messages.push_back({"user", turn.message()});
    messages.push_back({"assistant", turn.answer});
  }
  return messages;
}

Conversation::Prompt Conversation::prompt(const ChatText& chat, const std::string& question) const {
  std::vector<ChatMessage> all = messages();
  all.push_back({"user", Turn{waiting_, question, "", false}.message()});
  ChatPrompt rendered = chat.render(all, true);
  Prompt prompt;
  prompt.text = rendered.text();
  prompt.thinking = rendered.thinking;
  prompt.reused = said_.agreed(prompt.text);
  prompt.ids.assign(said_.ids.begin(), said_.ids.begin() + static_cast<std::ptrdiff_t>(prompt.reused.ids));
  const std::vector<std::int32_t> rest =
      encode_behind(chat, prompt.ids, behind(std::move(rendered.segments), prompt.reused.bytes));
  prompt.ids.insert(prompt.ids.end(), rest.begin(), rest.end());
  return prompt;
}

// Tokenizers treat the beginning of a text in a way of its own (a space before it), so the rest is encoded behind
// something whose ids are known, and that does not melt into it: the special token that comes before it, or else what
// ends a word.
std::vector<std::int32_t> Conversation::encode_behind(const ChatText& chat, std::span<const std::int32_t> ids,
                                                      std::vector<PromptSegment> rest) {
  if (ids.empty() || rest.empty()) return chat.encode(rest);
  std::vector<PromptSegment> anchors;
  if (const std::string special = chat.special_text(ids.back()); !special.empty()) anchors.push_back({special, true});
  for (const char* text : {"\n", ".", "a"}) anchors.push_back({text, false});
  rest.insert(rest.begin(), PromptSegment{});
  for (PromptSegment& anchor : anchors) {
    const std::vector<std::int32_t> known = chat.encode(std::span(&anchor, 1));
    rest[0] = std::move(anchor);
    std::vector<std::int32_t> found = chat.encode(rest);
    if (found.size() < known.size() || !std::equal(known.begin(), known.end(), found.begin())) continue;
    found.erase(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(known.size()));
    return found;
  }
  return chat.encode(std::span(rest).subspan(1));
}

std::vector<std::int32_t> Conversation::beginning(const ChatText& chat) const {
  // Questions that begin as differently as may be. What they share, all will, but perhaps for a token at the end.
  constexpr std::array<const char*, 3> questions = {"What", "a", "\"1"};
  std::vector<std::int32_t> common;
  for (std::size_t at = 0; at < questions.size(); ++at) {
    const std::vector<std::int32_t> ids = prompt(chat, questions[at]).ids;
    if (at == 0) common = ids;
    const std::size_t most = std::min(common.size(), ids.size());
    const auto differs = std::mismatch(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(most), common.begin());
    common.erase(differs.second, common.end());
  }
  return common;
}

void Conversation::answered(const ChatText& chat, const std::string& question, Prompt prompt,
                            std::vector<std::int32_t> ids, std::string text, bool stopped) {
  turns_.push_back({std::exchange(waiting_, {}), question, text, stopped});
  said_.cut(prompt.reused);
  said_.add(std::span(prompt.ids).subspan(said_.ids.size()), std::string_view(prompt.text).substr(said_.text.size()));
  const std::string end = ids.empty() ? "" : chat.special_text(ids.back());
  const std::span<const std::int32_t> words(ids.data(), ids.size() - (end.empty() ? 0 : 1));
  if (!spell(chat, words, text)) return;
  said_.add(words, text);
  // Some templates put a space of their own before an answer, or strip it: a message without it then agrees.
  for (const std::string& content : {text, trimmed(text, false), trimmed(text, true)}) {
    turns_.back().answer = content;
    const std::string shown = chat.render(messages(), false).text();
    if (shown.starts_with(said_.text)) break;
    turns_.back().answer = text;
  }
  if (!end.empty()) said_.add(std::span(ids).last(1), end);
}

std::optional<std::string> Conversation::take_back() {
  if (turns_.empty()) return std::nullopt;
  Turn turn = std::move(turns_.back());
  turns_.pop_back();
  waiting_.insert(waiting_.begin(), std::make_move_iterator(turn.documents.begin()),
                  std::make_move_iterator(turn.documents.end()));
  return std::move(turn.question);
}

ContextParts Conversation::parts(const ChatText& chat) const {
  ContextParts parts;
  parts.system = system_.empty() ? 0 : chat.count(system_);
  const auto add = [&](const std::vector<Document>& documents) {
    for (const Document& document : documents) parts.documents.emplace_back(document.name, chat.count(document.text));
  };
  for (const Turn& turn : turns_) {
    add(turn.documents);
    parts.questions += chat.count(turn.question);
    parts.answers += chat.count(turn.answer);
  }
  add(waiting_);
  parts.all = static_cast<std::int64_t>(beginning(chat).size());
  return parts;
}

}  // namespace precis
