// Tells an answer from what the model thinks before it, between tags.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "precis/chat_prompt.h"

namespace precis {

// Takes an answer's text as it comes. Tags and the blank lines behind them are left out.
class ThinkingFilter {
 public:
  struct Stretch {
    std::string text;  // never empty
    bool thinking = false;
  };

  // `inside`: the prompt ends behind the opening tag. Without tags all is answer.
  ThinkingFilter(std::optional<ThinkTags> tags, bool inside);

  // What may be the beginning of a tag waits for the next text.
  std::vector<Stretch> take(std::string_view text) { return cut(text, false); }
  // What waits, when the answer has ended.
  std::vector<Stretch> finish() { return cut("", true); }

 private:
  // Only what an answer begins with is thinking: a tag behind other words is a word.
  enum class Place { before, inside, behind };

  std::vector<Stretch> cut(std::string_view text, bool at_end);

  ThinkTags tags_;
  Place place_;
  bool skips_blank_ = true;
  std::string held_;
};

}  // namespace precis
