// White space as Python's str sees it.
#pragma once

#include <cstddef>
#include <string_view>

namespace precis::jinja {

// Of one character: Unicode's white space, and four separators of ASCII.
bool is_space(char32_t code);
// Bytes of white space at the begin and at the end of valid UTF-8.
std::size_t leading_space(std::string_view text);
std::size_t trailing_space(std::string_view text);
// The bytes of the last character of a text that is not empty.
std::size_t last_length(std::string_view text);

}  // namespace precis::jinja
