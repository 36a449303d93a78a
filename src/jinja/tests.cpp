// What may stand behind `is`.
#include <unordered_map>

#include "base/error.h"
#include "jinja/arguments.h"
#include "jinja/format.h"
#include "jinja/library.h"
#include "jinja/operators.h"
#include "jinja/text_tools.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

using Test = bool (*)(Context&, const Value&, const Arguments&);

// A test that asks for the value alone.
template <bool (*Is)(const Value&)>
bool plain(Context&, const Value& value, const Arguments& arguments) {
  arguments.check("a test", 0);
  return Is(value);
}

bool is_true(const Value& value) {
  return value.is_bool() && value.boolean();
}
bool is_false(const Value& value) {
  return value.is_bool() && !value.boolean();
}
bool is_sequence(const Value& value) {
  return value.is_undefined() || value.is_text() || value.is_dict() ||
         (value.is_list() && value.list().kind <= List::Kind::range);
}
bool is_iterable(const Value& value) {
  return value.is_undefined() || value.is_text() || value.is_dict() || value.is_list() || value.loop();
}
bool is_callable(const Value& value) {
  return value.callable() != nullptr || value.is_undefined();
}

template <Operator Op>
bool compares(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("a comparison", 1);
  return compare(context.budget, Op, value, needed_argument(arguments, 0, "other"));
}

template <std::int64_t Rest>
bool leaves(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("a test", 0);
  return equal(context.budget, arithmetic(context.budget, Operator::mod, value, std::int64_t{2}), Rest);
}

bool is_divisible(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("divisibleby", 1);
  return equal(context.budget, arithmetic(context.budget, Operator::mod, value, needed_argument(arguments, 0, "num")),
               std::int64_t{0});
}

bool is_same(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("sameas", 1);
  const Value& other = needed_argument(arguments, 0, "other");
  if (type_name(value) != type_name(other)) return false;
  return value.identity() ? value.identity() == other.identity() : equal(context.budget, value, other);
}

template <Casing C>
bool is_cased(Context& context, const Value& value, const Arguments& arguments) {
  const Value text = printed(context.budget, value);
  return truth(call_method(context, text, C == Casing::upper ? "isupper" : "islower", arguments));
}

template <bool (*Is)(std::string_view)>
bool is_name_of(Context&, const Value& value, const Arguments&) {
  return value.is_text() && Is(value.bytes());
}

const std::unordered_map<std::string_view, Test> tests = {
    {"defined", plain<[](const Value& value) { return !value.is_undefined(); }>},
    {"undefined", plain<[](const Value& value) { return value.is_undefined(); }>},
    {"none", plain<[](const Value& value) { return value.is_none(); }>},
    {"boolean", plain<[](const Value& value) { return value.is_bool(); }>},
    {"true", plain<is_true>},
    {"false", plain<is_false>},
    {"integer", plain<[](const Value& value) { return value.is_int(); }>},
    {"float", plain<[](const Value& value) { return value.is_float(); }>},
    {"number", plain<[](const Value& value) { return value.is_number(); }>},
    {"string", plain<[](const Value& value) { return value.is_text(); }>},
    {"mapping", plain<[](const Value& value) { return value.is_dict(); }>},
    {"sequence", plain<is_sequence>},
    {"iterable", plain<is_iterable>},
    {"callable", plain<is_callable>},
    {"escaped", plain<[](const Value&) { return false; }>},
    {"filter", is_name_of<is_filter>},
    {"test", is_name_of<is_test>},
    {"sameas", is_same},
    {"odd", leaves<1>},
    {"even", leaves<0>},
    {"divisibleby", is_divisible},
    {"upper", is_cased<Casing::upper>},
    {"lower", is_cased<Casing::lower>},
    {"in", compares<Operator::in>},
    {"eq", compares<Operator::eq>},
    {"equalto", compares<Operator::eq>},
    {"==", compares<Operator::eq>},
    {"ne", compares<Operator::ne>},
    {"!=", compares<Operator::ne>},
    {"lt", compares<Operator::lt>},
    {"lessthan", compares<Operator::lt>},
    {"<", compares<Operator::lt>},
    {"le", compares<Operator::le>},
    {"<=", compares<Operator::le>},
    {"gt", compares<Operator::gt>},
    {"greaterthan", compares<Operator::gt>},
    {">", compares<Operator::gt>},
    {"ge", compares<Operator::ge>},
    {">=", compares<Operator::ge>},
};

}  // namespace

bool is_test(std::string_view name) {
  return tests.contains(name);
}

bool apply_test(Context& context, std::string_view name, const Value& value, const Arguments& arguments) {
  const auto found = tests.find(name);
  if (found == tests.end()) fail("the test {} is not known here", in_quotes(name));
  return found->second(context, value, arguments);
}

}  // namespace precis::jinja
