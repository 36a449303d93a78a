// Values as text: as printed, as Python shows them, as JSON, and in a % format.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jinja/budget.h"
#include "jinja/value.h"

namespace precis::jinja {

std::string shown_float(double value);
// str(value); nothing for what is undefined.
MarkedText printed(Budget& budget, const Value& value);

struct JsonStyle {
  std::optional<std::int64_t> indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool ensure_ascii = false;
  bool sort_keys = false;
};
// Python's json.dumps(). Only the value's own texts can be trusted.
MarkedText to_json(Budget& budget, const Value& value, const JsonStyle& style);

// format % values, of which %s, %r, %d, %i, %f with widths and precisions are known.
Value percent_format(Budget& budget, const MarkedText& format, const std::vector<Value>& values);

}  // namespace precis::jinja
