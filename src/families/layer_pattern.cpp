#include "families/layer_pattern.h"

#include <limits>
#include <string_view>
#include <utility>
#include <variant>

#include "base/checked.h"
#include "base/error.h"

namespace precis {
namespace {

using Number = std::int64_t;
using List = std::vector<std::int64_t>;
using Value = std::variant<Number, List>;

constexpr Number max_number = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t max_entries = 4096;
constexpr std::size_t max_characters = 65'536;
constexpr int max_depth = 32;

Value repeated(const List& list, Number times) {
  const auto entries = checked_mul(narrow<Number>(list.size()), times, "entries");
  if (entries > narrow<Number>(max_entries)) fail("a list of {} entries, at most {} are allowed", entries, max_entries);
  List result;
  for (Number i = 0; i < times && !list.empty(); ++i) result.insert(result.end(), list.begin(), list.end());
  return result;
}

Value product(const Value& a, const Value& b) {
  if (const Number* times = std::get_if<Number>(&b)) {
    if (const List* list = std::get_if<List>(&a)) return repeated(*list, *times);
    return checked_mul(std::get<Number>(a), *times, "number");
  }
  if (const Number* times = std::get_if<Number>(&a)) return repeated(std::get<List>(b), *times);
  fail("a list times a list, expected a list times a number");
}

Value sum(Value a, const Value& b) {
  if (a.index() != b.index()) fail("a list plus a number, expected two of a kind");
  if (Number* number = std::get_if<Number>(&a)) return checked_add(*number, std::get<Number>(b), "number");
  List& left = std::get<List>(a);
  const List& right = std::get<List>(b);
  if (left.size() + right.size() > max_entries) {
    fail("a list of {} entries, at most {} are allowed", left.size() + right.size(), max_entries);
  }
  left.insert(left.end(), right.begin(), right.end());
  return a;
}

// sum := product ('+' product)*    product := atom ('*' atom)*    atom := digits | '(' sum ')' | '[' [sum (',' sum)*]
// ']'
class PatternParser {
 public:
  explicit PatternParser(std::string_view text) : text_(text) {}

  Value parse() {
    if (text_.size() > max_characters) fail("{} characters, at most {} are read", text_.size(), max_characters);
    Value value = parse_sum();
    if (peek() != '\0' || at_ != text_.size()) unexpected("the end, '+' or '*'");
    return value;
  }

 private:
  Value parse_sum() {
    if (++depth_ > max_depth) fail("brackets nested deeper than {}", max_depth);
    Value value = parse_product();
    while (accept('+')) value = bounded(sum(std::move(value), parse_product()));
    --depth_;
    return value;
  }

  Value parse_product() {
    Value value = parse_atom();
    while (accept('*')) value = bounded(product(value, parse_atom()));
    return value;
  }

  Value parse_atom() {
    if (accept('(')) {
      Value value = parse_sum();
      if (!accept(')')) unexpected("')', '+' or '*'");
      return value;
    }
    if (accept('[')) return parse_list();
    return parse_number();
  }

  Value parse_list() {
    List list;
    while (!accept(']')) {
      const Value entry = parse_sum();
      if (!std::holds_alternative<Number>(entry)) fail("a list in a list, expected numbers");
      if (list.size() == max_entries) fail("a list of more than {} entries", max_entries);
      list.push_back(std::get<Number>(entry));
      if (accept(',')) continue;
      if (!accept(']')) unexpected("',', ']', '+' or '*'");
      break;
    }
    return list;
  }

  Value parse_number() {
    if (peek() < '0' || peek() > '9') unexpected("a number, '(' or '['");
    Number number = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      number = std::get<Number>(bounded(number * 10 + (text_[at_] - '0')));
    }
    return number;
  }

  static Value bounded(Value value) {
    const Number* number = std::get_if<Number>(&value);
    if (number != nullptr && *number > max_number) fail("{} is too large, at most {} is allowed", *number, max_number);
    return value;
  }

  // The next character that is no space; '\0' at the end, and for a '\0' in the text, which nothing accepts.
  char peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool accept(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }

  [[noreturn]] void unexpected(std::string_view expected) { fail("expected {} at character {}", expected, at_ + 1); }

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

Value parse_value(const JsonView& value) {
  if (value.is_array()) {
    if (value.size() > max_entries) value.refuse(fmt::format("expected at most {} entries", max_entries));
    List list;
    for (std::size_t i = 0; i < value.size(); ++i) list.push_back(value[i].integer(0, max_number));
    return list;
  }
  if (!value.is_string()) return value.integer(0, max_number);
  try {
    return PatternParser(value.string()).parse();
  } catch (const Error& error) {
    value.refuse(error.what());
  }
}

}  // namespace

std::vector<std::int64_t> read_layer_pattern(const JsonView& value, std::int64_t layers) {
  const Value parsed = parse_value(value);
  if (const Number* number = std::get_if<Number>(&parsed)) return List(narrow<std::size_t>(layers), *number);
  const List& list = std::get<List>(parsed);
  if (narrow<std::int64_t>(list.size()) != layers) {
    value.refuse(fmt::format("expected {} entries, one per layer, but it has {}", layers, list.size()));
  }
  return list;
}

}  // namespace precis
