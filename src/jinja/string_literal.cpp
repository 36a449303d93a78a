#include "jinja/string_literal.h"

#include <algorithm>

#include "base/error.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

// Takes `least` to `most` digits of `base` from the front of `rest`.
char32_t take_code(std::string_view& rest, std::size_t least, std::size_t most, int base) {
  char32_t code = 0;
  std::size_t taken = 0;
  while (taken < most && taken < rest.size() && digit_of(rest[taken]) < base) {
    code = code * static_cast<char32_t>(base) + static_cast<char32_t>(digit_of(rest[taken++]));
  }
  if (taken < least) fail("an escape in a string needs {} digits", least);
  rest.remove_prefix(taken);
  return code;
}

bool is_high(char32_t code) {
  return code >= 0xD800 && code < 0xDC00;
}

void append_code(std::string& text, char32_t code) {
  if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) fail("an escape in a string is no character");
  append_utf8(text, code);
}

// \uXXXX, perhaps the first half of a pair.
void append_unit(std::string& text, std::string_view& rest) {
  char32_t code = take_code(rest, 4, 4, 16);
  if (is_high(code) && rest.starts_with("\\u")) {
    rest.remove_prefix(2);
    const char32_t low = take_code(rest, 4, 4, 16);
    if (low < 0xDC00 || low >= 0xE000) fail("an escape in a string is no character");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  append_code(text, code);
}

}  // namespace

std::string string_literal(std::string_view inside) {
  constexpr std::string_view letters = "\\'\"abfnrtv";
  constexpr std::string_view meanings = "\\'\"\a\b\f\n\r\t\v";
  std::string text;
  while (!inside.empty()) {
    const std::size_t escape = std::min(inside.find('\\'), inside.size());
    text += inside.substr(0, escape);
    inside.remove_prefix(escape);
    if (inside.size() < 2) {
      text += inside;
      break;
    }
    const char c = inside[1];
    inside.remove_prefix(2);
    if (const std::size_t at = letters.find(c); at != letters.npos) {
      text += meanings[at];
    } else if (c >= '0' && c <= '7') {
      inside = std::string_view(inside.data() - 1, inside.size() + 1);
      append_code(text, take_code(inside, 1, 3, 8));
    } else if (c == 'x') {
      append_code(text, take_code(inside, 2, 2, 16));
    } else if (c == 'u') {
      append_unit(text, inside);
    } else if (c == 'U') {
      append_code(text, take_code(inside, 8, 8, 16));
    } else if (c == 'N') {
      fail("characters by name, \\N, are not supported");
    } else if (c != '\n') {
      text += '\\';
      text += c;
    }
  }
  return text;
}

}  // namespace precis::jinja
