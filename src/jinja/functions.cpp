// Functions that every template has.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "jinja/arguments.h"
#include "jinja/library.h"
#include "jinja/operators.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

using Function = Value (*)(Context&, const Arguments&);

constexpr std::int64_t longest_range = 100'000;  // as Jinja's sandbox has it

// The message in one line of bounded length, as it comes from the template.
std::string one_line(std::string_view text) {
  constexpr std::size_t longest = 500;
  std::string line;
  for (const char c : text.substr(0, longest)) line += static_cast<unsigned char>(c) < ' ' || c == 0x7F ? ' ' : c;
  return to_utf8(text.size() > longest ? line + "..." : line);
}

Value raise_exception(Context& context, const Arguments& arguments) {
  arguments.check("raise_exception", 1, {"message"});
  const Value& message = needed_argument(arguments, 0, "message");
  if (!message.is_text()) fail("the template raised an exception");
  context.budget.step();
  throw Error(one_line(message.bytes()));
}

// The time is this machine's, in its zone.
Value strftime_now(Context& context, const Arguments& arguments) {
  arguments.check("strftime_now", 1, {"format"});
  const std::string format(needed_text(arguments, 0, "format"));
  if (format.size() > 200) fail("strftime_now: a format of {} bytes, at most 200 expected", format.size());
  const std::time_t now = context.now ? *context.now : std::time(nullptr);
  std::tm local{};
  if (!::localtime_r(&now, &local)) fail("strftime_now: this machine's time is not known");
  std::array<char, 1024> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), format.c_str(), &local);
  return make_text(to_utf8(std::string_view(text.data(), size)), false);
}

Value range(Context& context, const Arguments& arguments) {
  arguments.check("range", 3);
  if (arguments.positional.empty()) fail("range: a number is expected");
  const bool one = arguments.positional.size() == 1;
  const auto number = [&](std::size_t index) {
    const Value& value = arguments.positional[index];
    if (value.is_none()) fail("range: an integer expected, found 'NoneType'");
    return integer_argument(arguments, index, "range", 0);
  };
  const std::int64_t from = one ? 0 : number(0);
  const std::int64_t to = number(one ? 0 : 1);
  const std::int64_t step = arguments.positional.size() > 2 ? number(2) : 1;
  if (step == 0) fail("range: the step cannot be zero");
  std::vector<Value> items;
  for (std::int64_t at = from; step > 0 ? at < to : at > to;) {
    if (static_cast<std::int64_t>(items.size()) >= longest_range) fail("range: more than {} numbers", longest_range);
    context.budget.items(1);
    items.emplace_back(at);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return make_list(std::move(items), List::Kind::range);
}

std::vector<std::pair<Value, Value>> entries_of(Context& context, std::string_view function,
                                                const Arguments& arguments) {
  arguments.check(function, 1, {});
  std::vector<std::pair<Value, Value>> entries;
  if (!arguments.positional.empty()) {
    if (!arguments.positional[0].is_dict()) fail("{}: a dict expected", function);
    entries = arguments.positional[0].dict().entries;
    context.budget.items(2 * entries.size());
  }
  return entries;
}

void set_entry(std::vector<std::pair<Value, Value>>& entries, const std::string& key, const Value& value) {
  for (auto& [name, old] : entries) {
    if (name.is_text() && name.bytes() == key) {
      old = value;
      return;
    }
  }
  entries.emplace_back(make_text(key), value);
}

Value dict(Context& context, const Arguments& arguments) {
  auto entries = entries_of(context, "dict", {arguments.positional, {}});
  for (const auto& [key, value] : arguments.named) set_entry(entries, key, value);
  return make_dict(std::move(entries));
}

Value make_namespace(Context& context, const Arguments& arguments) {
  auto space = std::make_shared<Namespace>();
  for (const auto& [key, value] : entries_of(context, "namespace", {arguments.positional, {}})) {
    if (key.is_text()) space->attributes[std::string(key.bytes())] = value;
  }
  for (const auto& [key, value] : arguments.named) space->attributes[key] = value;
  context.budget.bytes(256);
  context.spaces.push_back(space);
  return space;
}

constexpr std::pair<std::string_view, Function> functions[] = {{"raise_exception", raise_exception},
                                                               {"strftime_now", strftime_now},
                                                               {"range", range},
                                                               {"dict", dict},
                                                               {"namespace", make_namespace}};

const std::pair<std::string_view, Function>* function_of(std::string_view name) {
  const auto found =
      std::find_if(std::begin(functions), std::end(functions), [&](const auto& entry) { return entry.first == name; });
  return found == std::end(functions) ? nullptr : found;
}

}  // namespace

bool is_function(std::string_view name) {
  return function_of(name) != nullptr;
}

Value call_function(Context& context, std::string_view name, const Arguments& arguments) {
  return function_of(name)->second(context, arguments);
}

}  // namespace precis::jinja
