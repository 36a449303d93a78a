// A template's source to what it means.
#pragma once

#include <string_view>

#include "jinja/syntax.h"

namespace precis::jinja {

// Throws Error("line 3: ...") for what is no Jinja, or Jinja that no chat template needs, and for nesting without
// measure.
Block parse(std::string_view source);

}  // namespace precis::jinja
