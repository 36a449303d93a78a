// Texts by characters, and Python's ways to search, cut and change them. Charged to the budget by who calls.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "jinja/budget.h"
#include "jinja/marked_text.h"

namespace precis::jinja {

std::size_t count_characters(std::string_view text);
// Where the character `index` begins; the size of the text for one past its last.
std::size_t byte_of(std::string_view text, std::size_t index);
// Where every character begins, and the size of the text.
std::vector<std::size_t> character_starts(std::string_view text);

// The first place of `wanted` at or behind `from`, in linear time; npos if there is none.
std::size_t find_text(std::string_view text, std::string_view wanted, std::size_t from);
std::size_t find_last_text(std::string_view text, std::string_view wanted);

// Without characters at its ends that are in `set`, or white space.
MarkedText stripped(Budget& budget, const MarkedText& text, const std::optional<std::string_view>& set, bool left,
                    bool right);
// At white space or at `separator`, which is not empty; at most `most` times (-1: everywhere), from the right or left.
std::vector<MarkedText> split(Budget& budget, const MarkedText& text, const std::optional<std::string_view>& separator,
                              std::int64_t most, bool from_right);
std::vector<MarkedText> split_lines(Budget& budget, const MarkedText& text);
// At most `most` times (-1: everywhere).
MarkedText replaced(Budget& budget, const MarkedText& text, std::string_view wanted, const MarkedText& other,
                    std::int64_t most);

enum class Casing {
  upper,
  lower,
  capital,  // the first character upper, the others lower
  title,    // the first letter of each word
  words,    // as title, where only white space and ( [ { < - part words
};
MarkedText cased(Budget& budget, const MarkedText& text, Casing casing);

}  // namespace precis::jinja
