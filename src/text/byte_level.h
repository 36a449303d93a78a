// GPT-2's spelling of bytes as printable characters, in which byte-level vocabularies are written (Radford et al. 2019,
// the `bytes_to_unicode` table): printable Latin-1 bytes stand for themselves, the other 68 for U+0100 onwards.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace precis {

// The character that stands for `byte`.
char32_t byte_level_char(std::uint8_t byte);
// The bytes that a token of a byte-level vocabulary spells; nothing when it holds a character outside the table.
std::optional<std::string> byte_level_bytes(std::string_view token);
// The other way: `bytes` as a byte-level vocabulary writes them.
std::string byte_level_token(std::string_view bytes);

}  // namespace precis
