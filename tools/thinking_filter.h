// Tells an answer from what the model thinks before it, between <think> and </think>.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace precis {

// Takes an answer's text as it comes. Tags and the blank lines behind them are left out.
class ThinkingFilter {
 public:
  struct Stretch {
    std::string text;  // never empty
    bool thinking = false;
  };

  // `inside`: the prompt ends with <think>, so the answer begins with thinking.
  explicit ThinkingFilter(bool inside) : place_(inside ? Place::inside : Place::before) {}

  // What may be the beginning of a tag waits for the next text.
  std::vector<Stretch> take(std::string_view text) { return cut(text, false); }
  // What waits, when the answer has ended.
  std::vector<Stretch> finish() { return cut("", true); }

 private:
  // Only what an answer begins with is thinking: a tag behind other words is a word.
  enum class Place { before, inside, behind };

  std::vector<Stretch> cut(std::string_view text, bool at_end);

  Place place_;
  bool skips_blank_ = true;
  std::string held_;
};

// Whether a prompt ends with <think>, perhaps with blanks behind it.
bool begins_thinking(std::string_view prompt);

}  // namespace precis
