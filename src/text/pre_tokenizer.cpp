#include "text/pre_tokenizer.h"

#include "base/error.h"
#include "text/pattern.h"
#include "text/utf8.h"

namespace precis {
namespace {

// GPT-2's splitting pattern, which ByteLevel with use_regex applies (Radford et al. 2019, encoder.py).
constexpr std::string_view gpt2_pattern =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

// What becomes of a match: dropped, a word of its own, joined with its neighbour, or with matches beside it.
enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

Behavior behavior_of(const JsonView& json) {
  const std::string& name = json.string();
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  json.refuse("expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

struct Part {
  TextRange range;
  bool match;
};

// Cuts every word at the matches of a pattern.
class Split : public PreTokenizerStep {
 public:
  Split(Pattern pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void apply(WordList& list) const override {
    std::vector<TextRange> words;
    words.reserve(list.words.size());
    for (const TextRange& word : list.words) {
      for (const TextRange& range : joined(parts_of(list.text, word))) {
        if (range.begin < range.end) words.push_back(range);
      }
    }
    list.words = std::move(words);
  }

 private:
  // The word as matches and what lies between them.
  std::vector<Part> parts_of(std::string_view text, TextRange word) const {
    std::vector<Part> parts;
    std::size_t done = word.begin;
    for (const TextRange& found : pattern_.matches(text.substr(word.begin, word.end - word.begin))) {
      const TextRange match = {word.begin + found.begin, word.begin + found.end};
      if (done < match.begin) parts.push_back({{done, match.begin}, invert_});
      parts.push_back({match, !invert_});
      done = match.end;
    }
    if (done < word.end) parts.push_back({{done, word.end}, invert_});
    return parts;
  }

  std::vector<TextRange> joined(const std::vector<Part>& parts) const {
    std::vector<TextRange> ranges;
    ranges.reserve(parts.size());
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].match && behavior_ == Behavior::removed) continue;
      if (i > 0 && joins(parts[i - 1], parts[i])) {
        ranges.back().end = parts[i].range.end;
      } else {
        ranges.push_back(parts[i].range);
      }
    }
    return ranges;
  }

  bool joins(const Part& before, const Part& part) const {
    switch (behavior_) {
      case Behavior::removed:
      case Behavior::isolated:
        return false;
      case Behavior::merged_with_previous:
        return part.match && !before.match;
      case Behavior::merged_with_next:
        return before.match && !part.match;
      case Behavior::contiguous:
        return before.match == part.match;
    }
    return false;
  }

  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

// Rebuilds the text of a list, word by word.
template <typename Rewrite>
void rewrite_words(WordList& list, Rewrite&& rewrite) {
  std::string text;
  text.reserve(list.text.size() + list.words.size());
  for (TextRange& word : list.words) {
    const std::size_t begin = text.size();
    rewrite(std::string_view(list.text).substr(word.begin, word.end - word.begin), word.begin == 0, text);
    word = {begin, text.size()};
  }
  list.text = std::move(text);
}

// Gives every word a space in front, unless it has one.
class PrefixSpace : public PreTokenizerStep {
 public:
  void apply(WordList& list) const override {
    rewrite_words(list, [](std::string_view word, bool, std::string& text) {
      if (!word.starts_with(' ')) text += ' ';
      text += word;
    });
  }
};

// Writes spaces as another character, U+2581 as a rule, and may give words one in front.
class Metaspace : public PreTokenizerStep {
 public:
  enum class Prepend { always, first, never };

  Metaspace(std::string replacement, Prepend prepend) : replacement_(std::move(replacement)), prepend_(prepend) {}

  void apply(WordList& list) const override {
    rewrite_words(list, [&](std::string_view word, bool first, std::string& text) {
      const bool wanted = prepend_ == Prepend::always || (prepend_ == Prepend::first && first && list.at_start);
      if (wanted && !word.starts_with(' ') && !word.starts_with(replacement_)) text += replacement_;
      for (const char c : word) {
        if (c == ' ') {
          text += replacement_;
        } else {
          text += c;
        }
      }
    });
  }

 private:
  std::string replacement_;
  Prepend prepend_;
};

Metaspace::Prepend prepend_of(const JsonView& json) {
  if (const auto scheme = json.find("prepend_scheme")) {
    const std::string& name = scheme->string();
    if (name == "always") return Metaspace::Prepend::always;
    if (name == "first") return Metaspace::Prepend::first;
    if (name == "never") return Metaspace::Prepend::never;
    scheme->refuse("expected always, first or never");
  }
  const auto prefix = json.find("add_prefix_space");
  return !prefix || prefix->boolean() ? Metaspace::Prepend::always : Metaspace::Prepend::never;
}

bool boolean_or(const JsonView& json, std::string_view key, bool otherwise) {
  const auto found = json.find(key);
  return found ? found->boolean() : otherwise;
}

}  // namespace

void PreTokenizer::add(const JsonView& json) {
  const std::string& type = json.at("type").string();
  const auto push = [this]<typename Step>(Step step) { steps_.push_back(std::make_shared<Step>(std::move(step))); };
  // After ByteLevel a step would see the bytes' stand-ins; no model is made so.
  if (byte_level_) json.refuse("expected nothing after ByteLevel");
  if (type == "Sequence") {
    const JsonView parts = json.at("pretokenizers");
    for (std::size_t i = 0; i < parts.size(); ++i) add(parts[i]);
  } else if (type == "ByteLevel") {
    if (boolean_or(json, "add_prefix_space", true)) push(PrefixSpace());
    if (boolean_or(json, "use_regex", true)) {
      push(Split(Pattern(Regex(gpt2_pattern)), Behavior::isolated, false));
    }
    byte_level_ = true;
  } else if (type == "Split") {
    push(Split(Pattern(json.at("pattern")), behavior_of(json.at("behavior")), json.at("invert").boolean()));
  } else if (type == "Digits") {
    const bool individual = boolean_or(json, "individual_digits", false);
    push(Split(Pattern(Regex("\\p{N}")), individual ? Behavior::isolated : Behavior::contiguous, false));
  } else if (type == "Metaspace") {
    const std::string& replacement = json.at("replacement").string();
    if (replacement.empty() || first_char(replacement).length != replacement.size()) {
      json.at("replacement").refuse("expected one character");
    }
    push(Metaspace(replacement, prepend_of(json)));
    if (boolean_or(json, "split", true)) {
      push(Split(Pattern(Regex(fmt::format("\\x{{{:x}}}", static_cast<std::uint32_t>(first_char(replacement).code)))),
                 Behavior::merged_with_next, false));
    }
  } else {
    json.at("type").refuse("expected Split, ByteLevel, Metaspace, Digits or Sequence");
  }
}

WordList PreTokenizer::split(std::string text, bool at_start) const {
  WordList list{std::move(text), {}, at_start};
  if (list.text.empty()) return list;
  list.words.push_back({0, list.text.size()});
  for (const auto& step : steps_) step->apply(list);
  return list;
}

}  // namespace precis
