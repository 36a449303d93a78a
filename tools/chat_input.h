// What a user of the chat types: questions, blocks between """, and commands that begin with a slash.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace precis {

struct ChatInput {
  bool command = false;
  std::string text;      // a question's text, or a command's name without the slash
  std::string argument;  // of a command: what stands behind its name
};

// Joins lines to inputs. A line is a question; lines between """ and """ are one. A line that begins with "/" is a
// command, one that begins with "//" a question that begins with "/"; in a block everything is text. Blank lines mean
// nothing.
class ChatLines {
 public:
  // `line` without its end. None: nothing is complete yet, or the line was blank.
  std::optional<ChatInput> take(std::string_view line);
  // Inside a block.
  bool open() const { return open_; }
  // Leaves the block and forgets it.
  void drop();

 private:
  bool open_ = false;
  std::string block_;
};

// Those of `names` that a mistyped one may have meant, likeliest first: names that it begins, or that are within two
// letters of it.
std::vector<std::string> nearest_names(std::string_view typed, const std::vector<std::string>& names);

}  // namespace precis
