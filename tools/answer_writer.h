// An answer on its way to standard output: thinking is dimmed, shown or left out, and a terminal gets no commands.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "terminal.h"
#include "thinking_filter.h"

namespace precis {

// What --show-thinking says.
enum class ShowThinking { off, on, dim };

// "on", "off", "dim", or "" for the default: dim on a terminal, elsewhere off. Throws std::runtime_error.
ShowThinking parse_show_thinking(const std::string& text, bool to_terminal);

class AnswerWriter {
 public:
  // `to_terminal`: control characters other than line feeds and tabs are left out, and "dim" dims.
  AnswerWriter(Output& output, ShowThinking thinking, bool to_terminal, ThinkingFilter filter);

  void write(std::string_view text);
  // The answer has ended: ends its line.
  void finish();

 private:
  void write(const std::vector<ThinkingFilter::Stretch>& stretches);
  void put(std::string_view text);

  Output& output_;
  ShowThinking thinking_;
  bool to_terminal_;
  ThinkingFilter filter_;
  bool dimmed_ = false;
  bool thought_ = false;  // what was put last is thinking
  bool any_ = false;
};

}  // namespace precis
