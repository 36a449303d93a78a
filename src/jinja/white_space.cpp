#include "jinja/white_space.h"

#include "text/utf8.h"

namespace precis::jinja {

bool is_space(char32_t code) {
  return (code >= 0x1C && code <= 0x1F) || is_white_space(code);
}

std::size_t leading_space(std::string_view text) {
  std::size_t length = 0;
  while (length < text.size()) {
    const Utf8Char next = first_char(text.substr(length));
    if (!is_space(next.code)) break;
    length += next.length;
  }
  return length;
}

std::size_t last_length(std::string_view text) {
  std::size_t length = 1;
  while (length < text.size() && length < 4 &&
         (static_cast<unsigned char>(text[text.size() - length]) & 0xC0) == 0x80) {
    ++length;
  }
  return length;
}

std::size_t trailing_space(std::string_view text) {
  const std::size_t size = text.size();
  while (!text.empty()) {
    const std::size_t length = last_length(text);
    if (!is_space(first_char(text.substr(text.size() - length)).code)) break;
    text.remove_suffix(length);
  }
  return size - text.size();
}

}  // namespace precis::jinja
