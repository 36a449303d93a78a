// Arguments of a call as the types that functions expect.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "jinja/budget.h"
#include "jinja/value.h"

namespace precis::jinja {

// Each throws Error for another type. Absent, and none where it says `optional`, give `otherwise`.
std::int64_t integer_argument(const Arguments& arguments, std::size_t index, std::string_view name,
                              std::int64_t otherwise);
bool bool_argument(const Arguments& arguments, std::size_t index, std::string_view name, bool otherwise);
std::optional<std::string_view> text_argument(const Arguments& arguments, std::size_t index, std::string_view name);
const Value& needed_argument(const Arguments& arguments, std::size_t index, std::string_view name);
std::string_view needed_text(const Arguments& arguments, std::size_t index, std::string_view name);

}  // namespace precis::jinja
