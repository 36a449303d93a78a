#include "text/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace precis {
namespace {

constexpr std::string_view replacement_utf8 = "\xEF\xBF\xBD";

// What may follow a lead byte: the number of bytes of the character and the range of the second one.
struct Lead {
  std::size_t length = 0;  // 0: not a lead byte
  std::uint8_t low = 0x80;
  std::uint8_t high = 0xBF;
};

Lead lead_of(std::uint8_t byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {};
}

}  // namespace

Utf8Char first_char(std::string_view text) {
  using State = Utf8Char::State;
  const auto first = static_cast<std::uint8_t>(text[0]);
  if (first < 0x80) return {first, 1, State::valid};
  const Lead lead = lead_of(first);
  if (lead.length == 0) return {replacement_character, 1, State::broken};
  char32_t code = first & (0xFFu >> (lead.length + 1));
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (i == text.size()) return {replacement_character, i, State::incomplete};
    const auto byte = static_cast<std::uint8_t>(text[i]);
    const std::uint8_t low = i == 1 ? lead.low : 0x80;
    const std::uint8_t high = i == 1 ? lead.high : 0xBF;
    if (byte < low || byte > high) return {replacement_character, i, State::broken};
    code = code << 6 | (byte & 0x3Fu);
  }
  return {code, lead.length, State::valid};
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Char c = first_char(text);
    if (c.state != Utf8Char::State::valid) return false;
    text.remove_prefix(c.length);
  }
  return true;
}

std::string to_utf8(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  std::string text;
  text.reserve(bytes.size() + 16);
  while (!bytes.empty()) {
    const Utf8Char c = first_char(bytes);
    text += c.state == Utf8Char::State::valid ? bytes.substr(0, c.length) : replacement_utf8;
    bytes.remove_prefix(c.length);
  }
  return text;
}

void append_utf8(std::string& text, char32_t code) {
  const auto put = [&text](char32_t byte) { text += static_cast<char>(static_cast<std::uint8_t>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

bool is_white_space(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
         code == 0x3000;
}

std::string_view trimmed(std::string_view text) {
  std::size_t begin = 0;
  std::size_t end = 0;  // after the last character that is not white space
  bool seen = false;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = first_char(text.substr(i));
    if (!is_white_space(c.code)) {
      if (!seen) begin = i;
      seen = true;
      end = i + c.length;
    }
    i += c.length;
  }
  return text.substr(begin, end - begin);
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t longest = 60;
  std::string shown = "'";
  for (std::size_t i = 0; i < text.size();) {
    if (i >= longest) return shown + "...'";
    const Utf8Char c = first_char(text.substr(i));
    if (c.state != Utf8Char::State::valid || c.code < 0x20 || c.code == 0x7F) {
      for (std::size_t k = 0; k < c.length; ++k) {
        shown += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(text[i + k]));
      }
    } else {
      shown += text.substr(i, c.length);
    }
    i += c.length;
  }
  return shown + "'";
}

}  // namespace precis
