#include "text/byte_level.h"

#include <array>

#include "text/utf8.h"

namespace precis {
namespace {

constexpr bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

constexpr std::array<char32_t, 256> chars_of_bytes = [] {
  std::array<char32_t, 256> chars{};
  char32_t spare = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    chars[static_cast<std::size_t>(byte)] = stands_for_itself(byte) ? static_cast<char32_t>(byte) : spare++;
  }
  return chars;
}();

constexpr std::size_t table_end = 0x100 + 68;

// By character; -1 where none.
constexpr std::array<int, table_end> bytes_of_chars = [] {
  std::array<int, table_end> bytes{};
  bytes.fill(-1);
  for (int byte = 0; byte < 256; ++byte) bytes[chars_of_bytes[static_cast<std::size_t>(byte)]] = byte;
  return bytes;
}();

}  // namespace

char32_t byte_level_char(std::uint8_t byte) {
  return chars_of_bytes[byte];
}

std::optional<std::string> byte_level_bytes(std::string_view token) {
  std::string bytes;
  bytes.reserve(token.size());
  for (std::size_t i = 0; i < token.size();) {
    const Utf8Char c = first_char(token.substr(i));
    if (c.code >= table_end || bytes_of_chars[c.code] < 0) return std::nullopt;
    bytes += static_cast<char>(bytes_of_chars[c.code]);
    i += c.length;
  }
  return bytes;
}

std::string byte_level_token(std::string_view bytes) {
  std::string token;
  token.reserve(bytes.size() * 2);
  for (const char byte : bytes) append_utf8(token, byte_level_char(static_cast<std::uint8_t>(byte)));
  return token;
}

}  // namespace precis
