// A template's source as tokens: text between tags with its white space cut, and what stands in tags.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace precis::jinja {

struct Token {
  enum class Kind {
    data,
    block_begin,
    block_end,
    output_begin,
    output_end,
    name,
    string,   // its value, escapes resolved
    integer,  // digits without underscores, perhaps with 0x, 0o or 0b in front
    number,   // with a point or an exponent
    sign,     // an operator or bracket
    end,
  };
  Kind kind = Kind::end;
  int line = 1;
  std::string text;
};

// As Hugging Face sets Jinja up: the line feed after a block goes, so does white space between a line's begin and a
// block; `-` and `+` in tags say otherwise. Throws Error("line 3: ...").
std::vector<Token> lex(std::string_view source);

}  // namespace precis::jinja
