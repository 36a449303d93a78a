// Filters that give texts and numbers.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "base/error.h"
#include "jinja/arguments.h"
#include "jinja/filters.h"
#include "jinja/format.h"
#include "jinja/operators.h"
#include "jinja/text_tools.h"
#include "jinja/white_space.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

template <Casing C>
Value cased(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("a filter of letters", 0);
  return cased(context.budget, printed(context.budget, value), C);
}

Value trim(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("trim", 1, {"chars"});
  return stripped(context.budget, printed(context.budget, value), text_argument(arguments, 0, "chars"), true, true);
}

Value replace(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("replace", 3, {"old", "new", "count"});
  const MarkedText old = printed(context.budget, needed_argument(arguments, 0, "old"));
  const MarkedText other = printed(context.budget, needed_argument(arguments, 1, "new"));
  return replaced(context.budget, printed(context.budget, value), old.bytes(), other,
                  integer_argument(arguments, 2, "count", -1));
}

Value string(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("string", 0);
  if (value.is_text()) return value;
  return printed(context.budget, value);
}

Value format(Context& context, const Value& value, const Arguments& arguments) {
  return percent_format(context.budget, printed(context.budget, value), arguments.positional);
}

Value escape(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("escape", 0);
  constexpr std::pair<std::string_view, const char*> marks[] = {
      {"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}};
  MarkedText text = printed(context.budget, value);
  for (const auto& [mark, name] : marks) {
    text = replaced(context.budget, text, mark, MarkedText(name, false), -1);
  }
  return text;
}

Value indent(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("indent", 3, {"width", "first", "blank"});
  const Value* width = arguments.find(0, "width");
  MarkedText indent;
  if (width && width->is_text()) {
    indent = width->text();
  } else {
    const std::int64_t count = std::clamp<std::int64_t>(integer_argument(arguments, 0, "width", 4), 0, 1000);
    indent = MarkedText(std::string(static_cast<std::size_t>(count), ' '), true);
  }
  const bool first = bool_argument(arguments, 1, "first", false);
  const bool blank = bool_argument(arguments, 2, "blank", false);
  if (!value.is_text()) {
    require_defined(value);
    fail("indent: a string expected, found '{}'", type_name(value));
  }
  MarkedText source = value.text();
  source.append("\n", true);
  const std::vector<MarkedText> lines = split_lines(context.budget, source);
  context.budget.bytes(source.size() + lines.size());
  MarkedText text;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) text.append("\n", true);
    if (i == 0 ? first : blank || !lines[i].empty()) {
      context.budget.bytes(indent.size());
      text.append(indent);
    }
    text.append(lines[i]);
  }
  return text;
}

Value tojson(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("tojson", 4, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = bool_argument(arguments, 0, "ensure_ascii", false);
  if (const Value* indent = arguments.find(1, "indent"); indent && !indent->is_none()) {
    style.indent = integer_argument(arguments, 1, "indent", 0);
    style.item_separator.pop_back();
  }
  if (const Value* separators = arguments.find(2, "separators"); separators && !separators->is_none()) {
    const bool pair = separators->is_list() && separators->list().items.size() == 2 &&
                      separators->list().items[0].is_text() && separators->list().items[1].is_text();
    if (!pair) fail("tojson: separators are two strings");
    style.item_separator = separators->list().items[0].bytes();
    style.key_separator = separators->list().items[1].bytes();
  }
  style.sort_keys = bool_argument(arguments, 3, "sort_keys", false);
  return to_json(context.budget, value, style);
}

// A number that a text spells, as int() and float() read it.
template <typename T>
std::optional<T> spelled(Context& context, const MarkedText& source) {
  const MarkedText text = stripped(context.budget, source, std::nullopt, true, true);
  std::string_view digits = text.bytes();
  if (digits.starts_with('+') && !digits.substr(1).starts_with('-')) digits.remove_prefix(1);
  T value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> whole(double value) {
  if (!(std::abs(value) < 9.2e18)) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

Value integer(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("int", 2, {"default", "base"});
  const Value* given = arguments.find(0, "default");
  if (integer_argument(arguments, 1, "base", 10) != 10) fail("int: only base 10 is known here");
  if (value.is_int() || value.is_bool()) return value.integer();
  std::optional<std::int64_t> number;
  if (value.is_float()) number = whole(value.number());
  if (value.is_text()) {
    number = spelled<std::int64_t>(context, value.text());
    if (const auto spelled_float = spelled<double>(context, value.text()); !number && spelled_float) {
      number = whole(*spelled_float);
    }
  }
  if (value.is_undefined()) require_defined(value);
  if (number) return *number;
  if (given) return *given;
  return std::int64_t{0};
}

Value floating(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("float", 1, {"default"});
  const Value* given = arguments.find(0, "default");
  if (value.is_number()) return value.number();
  if (value.is_text()) {
    if (const auto number = spelled<double>(context, value.text())) return *number;
  }
  if (value.is_undefined()) require_defined(value);
  return given ? *given : Value(0.0);
}

Value absolute(Context&, const Value& value, const Arguments& arguments) {
  arguments.check("abs", 0);
  if (!value.is_number()) {
    require_defined(value);
    fail("abs: a number expected, found '{}'", type_name(value));
  }
  if (value.is_float()) return std::abs(value.number());
  return value.integer() < 0 ? signed_value(Operator::minus, value) : Value(value.integer());
}

Value round(Context&, const Value& value, const Arguments& arguments) {
  arguments.check("round", 2, {"precision", "method"});
  const std::int64_t precision = integer_argument(arguments, 0, "precision", 0);
  const std::string_view method = text_argument(arguments, 1, "method").value_or("common");
  if (!value.is_number()) {
    require_defined(value);
    fail("round: a number expected, found '{}'", type_name(value));
  }
  if (precision < 0 || precision > 300) fail("round: precision {}, expected 0 to 300", precision);
  if (method == "ceil" || method == "floor") {
    const double scale = std::pow(10.0, static_cast<double>(precision));
    const double scaled = value.number() * scale;
    return (method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale;
  }
  if (method != "common") fail("round: method {}, expected common, ceil or floor", in_quotes(method));
  if (!value.is_float()) return value.integer();
  if (!std::isfinite(value.number())) return value.number();
  // To the nearest decimal number, as Python does, and not to the nearest product.
  const std::string text = fmt::format("{:.{}f}", value.number(), precision);
  double rounded = 0;
  std::from_chars(text.data(), text.data() + text.size(), rounded);
  return rounded;
}

Value wordcount(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("wordcount", 0);
  const MarkedText text = printed(context.budget, value);
  context.budget.bytes(4 * text.size());
  std::int64_t words = 0;
  bool inside = false;
  for (std::string_view rest = text.bytes(); !rest.empty();) {
    const Utf8Char next = first_char(rest);
    const bool word = is_word_char(next.code);
    if (word && !inside) ++words;
    inside = word;
    rest.remove_prefix(next.length);
  }
  return words;
}

Value unchanged(Context&, const Value& value, const Arguments&) {
  return value;
}

}  // namespace

NamedFilters text_filters() {
  return {{"upper", cased<Casing::upper>},
          {"lower", cased<Casing::lower>},
          {"capitalize", cased<Casing::capital>},
          {"title", cased<Casing::words>},
          {"trim", trim},
          {"replace", replace},
          {"string", string},
          {"format", format},
          {"escape", escape},
          {"e", escape},
          {"safe", unchanged},
          {"indent", indent},
          {"tojson", tojson},
          {"int", integer},
          {"float", floating},
          {"abs", absolute},
          {"round", round},
          {"wordcount", wordcount}};
}

namespace {

const std::unordered_map<std::string_view, Filter>& all_filters() {
  static const auto filters = [] {
    std::unordered_map<std::string_view, Filter> all;
    for (const auto& [name, filter] : text_filters()) all.emplace(name, filter);
    for (const auto& [name, filter] : list_filters()) all.emplace(name, filter);
    return all;
  }();
  return filters;
}

}  // namespace

bool is_filter(std::string_view name) {
  return all_filters().contains(name);
}

Value apply_filter(Context& context, std::string_view name, const Value& value, const Arguments& arguments) {
  const auto found = all_filters().find(name);
  if (found == all_filters().end()) fail("the filter {} is not known here", in_quotes(name));
  context.budget.step();
  const Level level(context);  // map("map", ...)
  return found->second(context, value, arguments);
}

}  // namespace precis::jinja
