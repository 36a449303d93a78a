// Escapes of a template's strings, which are Python's.
#pragma once

#include <string>
#include <string_view>

namespace precis::jinja {

// What stands between the quotes, resolved: \n, \x41, \u0041, \101 and their like; an unknown escape stays as it is.
std::string string_literal(std::string_view inside);

}  // namespace precis::jinja
