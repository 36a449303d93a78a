#include "jinja/arguments.h"

#include "base/error.h"
#include "jinja/operators.h"

namespace precis::jinja {

std::int64_t integer_argument(const Arguments& arguments, std::size_t index, std::string_view name,
                              std::int64_t otherwise) {
  const Value* value = arguments.find(index, name);
  if (!value || value->is_none()) return otherwise;
  if (!value->is_int() && !value->is_bool()) {
    require_defined(*value);
    fail("{}: an integer expected, found '{}'", name, type_name(*value));
  }
  return value->integer();
}

bool bool_argument(const Arguments& arguments, std::size_t index, std::string_view name, bool otherwise) {
  const Value* value = arguments.find(index, name);
  return value ? truth(*value) : otherwise;
}

std::optional<std::string_view> text_argument(const Arguments& arguments, std::size_t index, std::string_view name) {
  const Value* value = arguments.find(index, name);
  if (!value || value->is_none()) return std::nullopt;
  if (!value->is_text()) {
    require_defined(*value);
    fail("{}: a string expected, found '{}'", name, type_name(*value));
  }
  return value->bytes();
}

const Value& needed_argument(const Arguments& arguments, std::size_t index, std::string_view name) {
  const Value* value = arguments.find(index, name);
  if (!value) fail("the argument {} is missing", name);
  return *value;
}

std::string_view needed_text(const Arguments& arguments, std::size_t index, std::string_view name) {
  needed_argument(arguments, index, name);
  const auto text = text_argument(arguments, index, name);
  if (!text) fail("{}: a string expected, found 'NoneType'", name);
  return *text;
}

}  // namespace precis::jinja
