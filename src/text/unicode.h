// Unicode normalisation forms (UAX #15) and word characters, by utf8proc's tables.
#pragma once

#include <string>
#include <string_view>

namespace precis {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

// `text` (valid UTF-8) in a normalisation form. Linear time but for sorting runs of combining marks.
std::string normalized(std::string text, NormalForm form);

// A letter, mark, digit, letter number or connector: what a regular expression calls \w.
bool is_word_char(char32_t code);
// A letter of any kind (L*).
bool is_letter(char32_t code);

}  // namespace precis
