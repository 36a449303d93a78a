#include "jinja/operators.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "jinja/callable.h"
#include "jinja/format.h"
#include "jinja/text_tools.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

[[noreturn]] void refuse(std::string_view op, const Value& left, const Value& right) {
  require_defined(left);
  require_defined(right);
  fail("unsupported operand types for {}: '{}' and '{}'", op, type_name(left), type_name(right));
}

std::string_view sign_of(Operator op) {
  constexpr std::string_view signs[] = {
      "+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "+", "-"};
  return signs[static_cast<std::size_t>(op)];
}

// How often `value` is repeated by `times`, below nothing never.
Value repeated(Budget& budget, const Value& value, std::int64_t times) {
  const std::size_t count = times < 0 ? 0 : static_cast<std::size_t>(times);
  const std::size_t size = value.is_text() ? value.text().size() : value.list().items.size();
  std::size_t total = 0;
  if (__builtin_mul_overflow(size, count, &total)) total = SIZE_MAX / 128;
  if (value.is_text()) {
    budget.bytes(total);
    MarkedText text;
    if (total == 0) return text;
    budget.step(count);
    for (std::size_t i = 0; i < count; ++i) text.append(value.text());
    return text;
  }
  budget.items(total);
  std::vector<Value> items;
  items.reserve(total);
  for (std::size_t i = 0; i < total; ++i) items.push_back(value.list().items[i % size]);
  return make_list(std::move(items), value.list().kind);
}

bool is_sequence(const Value& value) {
  return value.is_text() || (value.is_list() && value.list().kind <= List::Kind::tuple);
}

Value joined(Budget& budget, const Value& left, const Value& right) {
  if (left.is_text()) {
    budget.bytes(left.text().size() + right.text().size());
    MarkedText text = left.text();
    text.append(right.text());
    return text;
  }
  budget.items(left.list().items.size() + right.list().items.size());
  std::vector<Value> items = left.list().items;
  items.insert(items.end(), right.list().items.begin(), right.list().items.end());
  return make_list(std::move(items), left.list().kind);
}

template <typename Work>
Value checked(std::string_view op, Work&& work) {
  std::int64_t result = 0;
  if (work(&result)) fail("the result of {} does not fit 64 bits", op);
  return result;
}

void require_divisor(bool zero) {
  if (zero) fail("division by zero");
}

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  return a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
}

Value power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    require_divisor(base == 0);
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  return checked("**", [&](std::int64_t* result) {
    *result = 1;
    if (base == 0 || base == 1) return (*result = exponent == 0 ? 1 : base, false);
    if (base == -1) return (*result = exponent % 2 == 0 ? 1 : -1, false);
    for (; exponent > 0; --exponent) {
      if (__builtin_mul_overflow(*result, base, result)) return true;
    }
    return false;
  });
}

Value on_integers(Operator op, std::int64_t a, std::int64_t b) {
  switch (op) {
    case Operator::add:
      return checked("+", [&](auto* result) { return __builtin_add_overflow(a, b, result); });
    case Operator::sub:
      return checked("-", [&](auto* result) { return __builtin_sub_overflow(a, b, result); });
    case Operator::mul:
      return checked("*", [&](auto* result) { return __builtin_mul_overflow(a, b, result); });
    case Operator::pow:
      return power(a, b);
    default:
      break;
  }
  require_divisor(b == 0);
  if (op == Operator::div) return static_cast<double>(a) / static_cast<double>(b);
  if (b == -1) {
    return op == Operator::mod ? Value(std::int64_t{0})
                               : checked("//", [&](auto* r) { return __builtin_sub_overflow(std::int64_t{0}, a, r); });
  }
  const std::int64_t quotient = floor_divide(a, b);
  return op == Operator::mod ? a - quotient * b : quotient;
}

// Python's: the remainder has the divisor's sign.
double modulo(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest != 0 && (b < 0) != (rest < 0)) rest += b;
  return rest == 0 ? std::copysign(0.0, b) : rest;
}

double floor_divide(double a, double b) {
  const double quotient = (a - modulo(a, b)) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double whole = std::floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
}

Value on_floats(Operator op, double a, double b) {
  if (op == Operator::add) return a + b;
  if (op == Operator::sub) return a - b;
  if (op == Operator::mul) return a * b;
  if (op == Operator::pow) {
    require_divisor(a == 0 && b < 0);
    if (a < 0 && b != std::floor(b)) fail("the result of ** is a complex number");
    const double result = std::pow(a, b);
    if (std::isinf(result) && !std::isinf(a) && !std::isinf(b)) fail("the result of ** is too large");
    return result;
  }
  require_divisor(b == 0);
  if (op == Operator::div) return a / b;
  return op == Operator::mod ? modulo(a, b) : floor_divide(a, b);
}

// Exactly, where the integer has more digits than a double: below 0, 0 or above it as a is below, at or above b.
// Nothing for what is no number.
std::optional<int> order_of(std::int64_t a, double b) {
  if (std::isnan(b)) return std::nullopt;
  if (!(std::abs(b) < 0x1p63)) return b > 0 ? -1 : 1;
  const auto whole = static_cast<std::int64_t>(b);
  if (a != whole) return a < whole ? -1 : 1;
  const double rest = b - static_cast<double>(whole);
  return rest > 0 ? -1 : rest < 0 ? 1 : 0;
}

std::optional<int> order_of(const Value& a, const Value& b) {
  if (!a.is_float() && !b.is_float()) return a.integer() < b.integer() ? -1 : a.integer() > b.integer() ? 1 : 0;
  if (!a.is_float()) return order_of(a.integer(), b.number());
  if (b.is_float()) {
    if (std::isnan(a.number()) || std::isnan(b.number())) return std::nullopt;
    return a.number() < b.number() ? -1 : a.number() > b.number() ? 1 : 0;
  }
  const auto other = order_of(b.integer(), a.number());
  return other ? std::optional(-*other) : std::nullopt;
}

bool equal_lists(Budget& budget, const List& left, const List& right) {
  if (left.kind != right.kind || left.items.size() != right.items.size()) return false;
  return std::equal(left.items.begin(), left.items.end(), right.items.begin(),
                    [&](const Value& a, const Value& b) { return equal(budget, a, b); });
}

bool equal_dicts(Budget& budget, const Dict& left, const Dict& right) {
  if (left.entries.size() != right.entries.size()) return false;
  return std::all_of(left.entries.begin(), left.entries.end(), [&](const auto& entry) {
    budget.step(1 + right.entries.size() / 8);
    const Value* other = find_key(right, entry.first);
    return other && equal(budget, entry.second, *other);
  });
}

// The index that `key` means in `size` items, if there is one.
std::optional<std::size_t> index_in(const Value& key, std::size_t size) {
  if (!key.is_int() && !key.is_bool()) return std::nullopt;
  std::int64_t index = key.integer();
  const auto count = static_cast<std::int64_t>(size);
  if (index < 0) index += count;
  if (index < 0 || index >= count) return std::nullopt;
  return static_cast<std::size_t>(index);
}

struct Steps {
  std::int64_t from, step;
  std::size_t count;
};

std::optional<std::int64_t> bound_of(const Value& value) {
  if (value.is_none()) return std::nullopt;
  if (!value.is_int() && !value.is_bool()) {
    require_defined(value);
    fail("slice indices must be integers or none, found '{}'", type_name(value));
  }
  return value.integer();
}

// Python's slice.indices().
Steps steps_of(const Value& from, const Value& to, const Value& step, std::size_t size) {
  const auto count = static_cast<std::int64_t>(size);
  // A step beyond the size means the same at any length, and cannot overflow.
  const std::int64_t by = std::clamp(bound_of(step).value_or(1), -count - 1, count + 1);
  if (bound_of(step) == 0) fail("slice step cannot be zero");
  const std::int64_t low = by < 0 ? -1 : 0;
  const std::int64_t high = by < 0 ? count - 1 : count;
  const auto placed = [&](std::optional<std::int64_t> bound, std::int64_t otherwise) {
    if (!bound) return otherwise;
    if (*bound < 0) return *bound < -count ? low : std::max(*bound + count, low);
    return std::min(*bound, high);
  };
  const std::int64_t begin = placed(bound_of(from), by < 0 ? high : low);
  const std::int64_t end = placed(bound_of(to), by < 0 ? low : high);
  const std::int64_t distance = by < 0 ? begin - end : end - begin;
  const std::int64_t length = by < 0 ? -by : by;
  return {begin, by, distance <= 0 ? 0 : static_cast<std::size_t>((distance + length - 1) / length)};
}

}  // namespace

bool truth(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (value.is_number()) return value.number() != 0;
  if (value.is_text()) return !value.text().empty();
  if (value.is_dict()) return !value.dict().entries.empty();
  if (value.is_list()) return value.list().kind == List::Kind::generator || !value.list().items.empty();
  return true;
}

Value arithmetic(Budget& budget, Operator op, const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) {
    if (left.is_float() || right.is_float()) return on_floats(op, left.number(), right.number());
    return on_integers(op, left.integer(), right.integer());
  }
  if (op == Operator::mul) {
    if (is_sequence(left) && right.is_number() && !right.is_float()) return repeated(budget, left, right.integer());
    if (is_sequence(right) && left.is_number() && !left.is_float()) return repeated(budget, right, left.integer());
  }
  if (op == Operator::add && is_sequence(left) && is_sequence(right) && type_name(left) == type_name(right)) {
    return joined(budget, left, right);
  }
  if (op == Operator::mod && left.is_text()) {
    const bool several = right.is_list() && right.list().kind == List::Kind::tuple;
    return percent_format(budget, left.text(), several ? right.list().items : std::vector<Value>{right});
  }
  refuse(sign_of(op), left, right);
}

Value signed_value(Operator op, const Value& value) {
  if (!value.is_number()) {
    require_defined(value);
    fail("bad operand type for unary {}: '{}'", sign_of(op), type_name(value));
  }
  if (value.is_float()) return op == Operator::minus ? -value.number() : value.number();
  if (op == Operator::plus) return value.integer();
  return on_integers(Operator::sub, 0, value.integer());
}

bool equal(Budget& budget, const Value& left, const Value& right) {
  budget.step();
  if (left.is_number() && right.is_number()) return order_of(left, right) == 0;
  if (left.is_text() && right.is_text()) {
    if (left.text().size() != right.text().size()) return false;
    budget.bytes(left.text().size());
    return left.bytes() == right.bytes();
  }
  if (left.identity() && left.identity() == right.identity()) return true;
  if (left.is_list() && right.is_list()) return equal_lists(budget, left.list(), right.list());
  if (left.is_dict() && right.is_dict()) return equal_dicts(budget, left.dict(), right.dict());
  return (left.is_none() && right.is_none()) || (left.is_undefined() && right.is_undefined());
}

bool less(Budget& budget, const Value& left, const Value& right) {
  budget.step();
  if (left.is_number() && right.is_number()) return order_of(left, right) == -1;
  if (left.is_text() && right.is_text()) {
    budget.bytes(std::min(left.text().size(), right.text().size()));
    return left.bytes() < right.bytes();
  }
  if (!is_sequence(left) || !is_sequence(right) || type_name(left) != type_name(right)) refuse("<", left, right);
  const auto& a = left.list().items;
  const auto& b = right.list().items;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!equal(budget, a[i], b[i])) return less(budget, a[i], b[i]);
  }
  return a.size() < b.size();
}

bool compare(Budget& budget, Operator op, const Value& left, const Value& right) {
  // A number that is none is neither below nor above anything, so <= is not the opposite of >.
  const auto at_most = [&](const Value& a, const Value& b) { return less(budget, a, b) || equal(budget, a, b); };
  switch (op) {
    case Operator::eq:
      return equal(budget, left, right);
    case Operator::ne:
      return !equal(budget, left, right);
    case Operator::lt:
      return less(budget, left, right);
    case Operator::gt:
      return less(budget, right, left);
    case Operator::le:
      return at_most(left, right);
    case Operator::ge:
      return at_most(right, left);
    case Operator::in:
      return contains(budget, right, left);
    default:
      return !contains(budget, right, left);
  }
}

bool contains(Budget& budget, const Value& container, const Value& item) {
  if (container.is_text()) {
    if (!item.is_text()) {
      require_defined(item);
      fail("'in <string>' requires a string on the left, found '{}'", type_name(item));
    }
    budget.bytes(container.text().size() + item.text().size());
    return find_text(container.bytes(), item.bytes(), 0) != std::string_view::npos;
  }
  if (container.is_dict()) {
    if (item.is_dict() || (item.is_list() && item.list().kind == List::Kind::list)) {
      fail("a {} cannot be a key", type_name(item));
    }
    budget.step(1 + container.dict().entries.size() / 8);
    return find_key(container.dict(), item) != nullptr;
  }
  if (const NamespacePtr* space = container.space()) fail("argument of type '{}' is not iterable", type_name(*space));
  const ListPtr items = items_of(budget, container);
  return std::any_of(items->items.begin(), items->items.end(),
                     [&](const Value& other) { return equal(budget, item, other); });
}

ListPtr items_of(Budget& budget, const Value& value) {
  const auto list = std::make_shared<List>();
  if (value.is_undefined()) return list;
  if (value.is_list()) {
    const List& source = value.list();
    if (source.kind == List::Kind::generator) {
      if (source.spent) return list;
      source.spent = true;
    }
    // The list itself, which `value` holds together with others.
    return std::shared_ptr<const List>(std::make_shared<const Value>(value), &source);
  }
  if (value.is_text()) {
    const MarkedText& text = value.text();
    budget.items(text.size());
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = first_char(text.bytes().substr(at)).length;
      list->items.emplace_back(text.slice(at, at + length));
      at += length;
    }
    return list;
  }
  if (value.is_dict()) {
    budget.items(value.dict().entries.size());
    for (const auto& [key, entry] : value.dict().entries) list->items.push_back(key);
    return list;
  }
  fail("'{}' is not iterable", type_name(value));
}

std::int64_t length_of(Budget& budget, const Value& value) {
  if (value.is_undefined()) return 0;
  if (value.is_text()) {
    budget.bytes(value.text().size());
    return static_cast<std::int64_t>(count_characters(value.bytes()));
  }
  if (value.is_dict()) return static_cast<std::int64_t>(value.dict().entries.size());
  if (value.is_list() && value.list().kind != List::Kind::generator) {
    return static_cast<std::int64_t>(value.list().items.size());
  }
  fail("'{}' has no length", type_name(value));
}

Value item_of(Budget& budget, const Value& value, const Value& key) {
  require_defined(value);
  if (value.is_text()) {
    budget.bytes(value.text().size());
    if (const auto index = index_in(key, count_characters(value.bytes()))) {
      const std::size_t from = byte_of(value.bytes(), *index);
      return value.text().slice(from, from + first_char(value.bytes().substr(from)).length);
    }
  } else if (value.is_list() && value.list().kind <= List::Kind::range) {
    if (const auto index = index_in(key, value.list().items.size())) return value.list().items[*index];
  } else if (value.is_dict()) {
    budget.step(1 + value.dict().entries.size() / 8);
    if (const Value* found = find_key(value.dict(), key)) return *found;
  }
  return make_undefined(key.is_text()
                            ? fmt::format("'{} object' has no attribute {}", type_name(value), in_quotes(key.bytes()))
                            : fmt::format("'{} object' has no such element", type_name(value)));
}

Value slice_of(Budget& budget, const Value& value, const Value& from, const Value& to, const Value& step) {
  require_defined(value);
  const bool list = value.is_list() && value.list().kind <= List::Kind::range;
  if (!list && !value.is_text()) fail("'{}' cannot be sliced", type_name(value));
  if (list) {
    const std::vector<Value>& items = value.list().items;
    const Steps steps = steps_of(from, to, step, items.size());
    budget.items(steps.count);
    std::vector<Value> part;
    part.reserve(steps.count);
    std::int64_t at = steps.from;
    for (std::size_t i = 0; i < steps.count; ++i, at += steps.step) part.push_back(items[static_cast<std::size_t>(at)]);
    return make_list(std::move(part), value.list().kind);
  }
  const MarkedText& text = value.text();
  budget.bytes(2 * text.size());
  const Steps steps = steps_of(from, to, step, count_characters(text.bytes()));
  if (steps.count == 0) return MarkedText();
  if (steps.step == 1) {
    const std::size_t begin = byte_of(text.bytes(), static_cast<std::size_t>(steps.from));
    return text.slice(begin, begin + byte_of(text.bytes().substr(begin), steps.count));
  }
  budget.bytes(8 * text.size());
  const std::vector<std::size_t> starts = character_starts(text.bytes());
  budget.step(steps.count);
  MarkedText part;
  std::int64_t at = steps.from;
  for (std::size_t i = 0; i < steps.count; ++i, at += steps.step) {
    const auto index = static_cast<std::size_t>(at);
    part.append(text, starts[index], starts[index + 1]);
  }
  return part;
}

}  // namespace precis::jinja
