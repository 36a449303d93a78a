// UTF-8 as text comes in and goes out: one character at a time, broken sequences made visible.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace precis {

inline constexpr char32_t replacement_character = 0xFFFD;

// The first character of a text. A broken sequence counts as its longest part that could begin a character (Unicode
// 15.0, section 3.9, "maximal subparts"), which is how Python's and Rust's lossy decoders count too.
struct Utf8Char {
  enum class State {
    valid,
    incomplete,  // the text ends before the character does; what is there is well-formed
    broken,
  };
  char32_t code = replacement_character;  // U+FFFD unless valid
  std::size_t length = 0;                 // bytes
  State state = State::broken;
};

// `text` must not be empty.
Utf8Char first_char(std::string_view text);

bool is_utf8(std::string_view text);
// `bytes` with every broken or incomplete sequence replaced by U+FFFD.
std::string to_utf8(std::string_view bytes);
void append_utf8(std::string& text, char32_t code);

// Unicode's White_Space property.
bool is_white_space(char32_t code);
// `text` (valid UTF-8) without white space at both ends.
std::string_view trimmed(std::string_view text);

// `text` between single quotes for a one-line message: control characters escaped, cut after about 60 bytes.
std::string in_quotes(std::string_view text);

}  // namespace precis
