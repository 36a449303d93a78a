// What templates may call without defining it: functions, methods, filters and tests.
#pragma once

#include <ctime>
#include <optional>
#include <string_view>

#include "jinja/budget.h"
#include "jinja/value.h"

namespace precis::jinja {

struct Context {
  Budget budget;
  std::optional<std::time_t> now;         // what strftime_now() takes for the time; none: the clock's
  std::vector<NamespacePtr> spaces = {};  // all that were made: a namespace may hold itself
  int depth = 0;                          // of calls within calls, at most `greatest_depth`
  static constexpr int greatest_depth = 800;
};

// One more level of calls while it lives. Throws Error when there are too many.
class Level {
 public:
  explicit Level(Context& context) : context_(context) {
    if (context_.depth >= Context::greatest_depth) fail("the template calls itself too deeply");
    ++context_.depth;
  }
  ~Level() { --context_.depth; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  Context& context_;
};

// A function of every template: range, dict, namespace, raise_exception, strftime_now.
bool is_function(std::string_view name);
Value call_function(Context& context, std::string_view name, const Arguments& arguments);

// The methods of a text or a dict, by Python's names.
bool has_method(const Value& self, std::string_view name);
Value call_method(Context& context, const Value& self, std::string_view name, const Arguments& arguments);

bool is_filter(std::string_view name);
Value apply_filter(Context& context, std::string_view name, const Value& value, const Arguments& arguments);

bool is_test(std::string_view name);
bool apply_test(Context& context, std::string_view name, const Value& value, const Arguments& arguments);

// value.name: a method, an entry, an attribute of a namespace or a loop; undefined where there is none.
Value attribute_of(Context& context, const Value& value, std::string_view name);
// value[key]: an entry before a method.
Value subscript_of(Context& context, const Value& value, const Value& key);

}  // namespace precis::jinja
