// The table of filters is made of two files.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "jinja/library.h"

namespace precis::jinja {

using Filter = Value (*)(Context&, const Value&, const Arguments&);
using NamedFilters = std::vector<std::pair<std::string_view, Filter>>;

NamedFilters text_filters();
NamedFilters list_filters();

}  // namespace precis::jinja
