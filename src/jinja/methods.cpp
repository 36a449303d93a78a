// Methods of texts and dicts, and attributes.
#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "jinja/arguments.h"
#include "jinja/callable.h"
#include "jinja/format.h"
#include "jinja/library.h"
#include "jinja/operators.h"
#include "jinja/text_tools.h"
#include "jinja/white_space.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

using Method = Value (*)(Context&, const Value&, const Arguments&);
using Methods = std::unordered_map<std::string_view, Method>;

Value list_of(std::vector<MarkedText> texts) {
  std::vector<Value> items;
  items.reserve(texts.size());
  for (MarkedText& text : texts) items.emplace_back(std::move(text));
  return make_list(std::move(items));
}

template <bool Left, bool Right>
Value strip(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("strip", 1);
  return stripped(context.budget, self.text(), text_argument(arguments, 0, ""), Left, Right);
}

template <bool FromRight>
Value split(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("split", 2, {"sep", "maxsplit"});
  return list_of(split(context.budget, self.text(), text_argument(arguments, 0, "sep"),
                       integer_argument(arguments, 1, "maxsplit", -1), FromRight));
}

Value splitlines(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("splitlines", 0);
  return list_of(split_lines(context.budget, self.text()));
}

// The part that `from` and `to`, counted in characters, leave of a text.
std::string_view between(const Value& self, const Arguments& arguments, std::size_t index) {
  std::string_view bytes = self.bytes();
  const auto count = static_cast<std::int64_t>(count_characters(bytes));
  const auto placed = [&](std::int64_t at) { return std::clamp<std::int64_t>(at < 0 ? at + count : at, 0, count); };
  const std::int64_t from = placed(integer_argument(arguments, index, "", 0));
  const std::int64_t to = std::max(from, placed(integer_argument(arguments, index + 1, "", count)));
  bytes = bytes.substr(byte_of(bytes, static_cast<std::size_t>(from)));
  return bytes.substr(0, byte_of(bytes, static_cast<std::size_t>(to - from)));
}

template <bool AtStart>
Value starts_or_ends(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check(AtStart ? "startswith" : "endswith", 3);
  context.budget.bytes(arguments.positional.size() > 1 ? 3 * self.text().size() : 0);
  const std::string_view text = arguments.positional.size() > 1 ? between(self, arguments, 1) : self.bytes();
  const auto matches = [&](const Value& wanted) {
    if (!wanted.is_text()) {
      require_defined(wanted);
      fail("{}: a string or a tuple of them expected, found '{}'", AtStart ? "startswith" : "endswith",
           type_name(wanted));
    }
    context.budget.step();
    context.budget.bytes(wanted.text().size());
    return AtStart ? text.starts_with(wanted.bytes()) : text.ends_with(wanted.bytes());
  };
  const Value& wanted = needed_argument(arguments, 0, "");
  if (!wanted.is_list() || wanted.list().kind != List::Kind::tuple) return matches(wanted);
  return std::any_of(wanted.list().items.begin(), wanted.list().items.end(), matches);
}

// Where a text is found, in characters; -1 if it is not.
template <bool FromRight>
std::int64_t place_of(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("find", 3);
  context.budget.bytes(6 * self.text().size());
  const std::string_view text = arguments.positional.size() > 1 ? between(self, arguments, 1) : self.bytes();
  const std::string_view wanted = needed_text(arguments, 0, "");
  const std::size_t found = FromRight ? find_last_text(text, wanted) : find_text(text, wanted, 0);
  if (found == text.npos) return -1;
  const auto before = static_cast<std::size_t>(text.data() - self.bytes().data()) + found;
  return static_cast<std::int64_t>(count_characters(self.bytes().substr(0, before)));
}

template <bool FromRight>
Value find(Context& context, const Value& self, const Arguments& arguments) {
  return place_of<FromRight>(context, self, arguments);
}

template <bool FromRight>
Value index(Context& context, const Value& self, const Arguments& arguments) {
  const std::int64_t place = place_of<FromRight>(context, self, arguments);
  if (place < 0) fail("substring not found");
  return place;
}

Value count(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("count", 1);
  const std::string_view wanted = needed_text(arguments, 0, "");
  context.budget.bytes(self.text().size());
  if (wanted.empty()) return static_cast<std::int64_t>(count_characters(self.bytes())) + 1;
  std::int64_t found = 0;
  for (std::size_t at = find_text(self.bytes(), wanted, 0); at != std::string_view::npos;
       at = find_text(self.bytes(), wanted, at + wanted.size())) {
    context.budget.step();
    ++found;
  }
  return found;
}

template <Casing C>
Value cased(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("a method of letters", 0);
  return cased(context.budget, self.text(), C);
}

Value replace(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("replace", 3, {"count"});
  needed_text(arguments, 1, "new");
  return replaced(context.budget, self.text(), needed_text(arguments, 0, "old"), arguments.positional[1].text(),
                  integer_argument(arguments, 2, "count", -1));
}

template <bool AtStart>
Value remove_affix(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("removeprefix", 1);
  const std::string_view affix = needed_text(arguments, 0, "");
  const std::size_t size = self.text().size();
  context.budget.bytes(size);
  if (AtStart && self.bytes().starts_with(affix)) return self.text().slice(affix.size(), size);
  if (!AtStart && self.bytes().ends_with(affix)) return self.text().slice(0, size - affix.size());
  return self;
}

Value join(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("join", 1);
  const ListPtr items = items_of(context.budget, needed_argument(arguments, 0, ""));
  MarkedText text;
  for (std::size_t i = 0; i < items->items.size(); ++i) {
    const Value& item = items->items[i];
    if (!item.is_text()) fail("join: item {} is no string but '{}'", i, type_name(item));
    context.budget.bytes(item.text().size() + self.text().size());
    if (i > 0) text.append(self.text());
    text.append(item.text());
  }
  return text;
}

// Whether all characters, of which there is one at least, are such.
template <bool (*Is)(char32_t)>
Value consists_of(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("a method that asks for a kind of character", 0);
  context.budget.bytes(4 * self.text().size());
  for (std::string_view rest = self.bytes(); !rest.empty();) {
    const Utf8Char next = first_char(rest);
    if (!Is(next.code)) return false;
    rest.remove_prefix(next.length);
  }
  return !self.text().empty();
}

bool is_digit(char32_t code) {
  return code >= '0' && code <= '9';
}
bool is_alnum(char32_t code) {
  return is_letter(code) || is_digit(code);
}

template <bool Upper>
Value is_in_case(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("isupper", 0);
  const MarkedText raised = cased(context.budget, self.text(), Casing::upper);
  const MarkedText lowered = cased(context.budget, self.text(), Casing::lower);
  return raised.bytes() != lowered.bytes() && self.bytes() == (Upper ? raised : lowered).bytes();
}

const Methods text_methods = {
    {"strip", strip<true, true>},
    {"lstrip", strip<true, false>},
    {"rstrip", strip<false, true>},
    {"split", split<false>},
    {"rsplit", split<true>},
    {"splitlines", splitlines},
    {"startswith", starts_or_ends<true>},
    {"endswith", starts_or_ends<false>},
    {"find", find<false>},
    {"rfind", find<true>},
    {"index", index<false>},
    {"rindex", index<true>},
    {"count", count},
    {"upper", cased<Casing::upper>},
    {"lower", cased<Casing::lower>},
    {"capitalize", cased<Casing::capital>},
    {"title", cased<Casing::title>},
    {"replace", replace},
    {"removeprefix", remove_affix<true>},
    {"removesuffix", remove_affix<false>},
    {"join", join},
    {"isdigit", consists_of<is_digit>},
    {"isalpha", consists_of<is_letter>},
    {"isalnum", consists_of<is_alnum>},
    {"isspace", consists_of<is_space>},
    {"isupper", is_in_case<true>},
    {"islower", is_in_case<false>},
};

Value items(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("items", 0);
  context.budget.items(3 * self.dict().entries.size());
  std::vector<Value> pairs;
  for (const auto& [key, value] : self.dict().entries) pairs.push_back(make_list({key, value}, List::Kind::tuple));
  return make_list(std::move(pairs), List::Kind::view);
}

template <bool Keys>
Value keys_or_values(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check(Keys ? "keys" : "values", 0);
  context.budget.items(self.dict().entries.size());
  std::vector<Value> all;
  for (const auto& [key, value] : self.dict().entries) all.push_back(Keys ? key : value);
  return make_list(std::move(all), List::Kind::view);
}

Value get(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("get", 2);
  context.budget.step(1 + self.dict().entries.size() / 8);
  if (const Value* found = find_key(self.dict(), needed_argument(arguments, 0, "key"))) return *found;
  return arguments.positional.size() > 1 ? arguments.positional[1] : Value(None{});
}

const Methods dict_methods = {
    {"items", items}, {"keys", keys_or_values<true>}, {"values", keys_or_values<false>}, {"get", get}};

Value list_index(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("index", 1);
  const std::vector<Value>& items = self.list().items;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (equal(context.budget, items[i], needed_argument(arguments, 0, ""))) return static_cast<std::int64_t>(i);
  }
  fail("the value is not in the list");
}

Value list_count(Context& context, const Value& self, const Arguments& arguments) {
  arguments.check("count", 1);
  const Value& wanted = needed_argument(arguments, 0, "");
  return static_cast<std::int64_t>(
      std::count_if(self.list().items.begin(), self.list().items.end(),
                    [&](const Value& item) { return equal(context.budget, item, wanted); }));
}

const Methods list_methods = {{"index", list_index}, {"count", list_count}};

Value cycle(Context&, const Value& self, const Arguments& arguments) {
  if (arguments.positional.empty()) fail("cycle: no items given");
  return arguments.positional[(*self.loop())->index % arguments.positional.size()];
}

const Methods loop_methods = {{"cycle", cycle}};

const Method* method_of(const Value& self, std::string_view name) {
  const Methods* methods = nullptr;
  if (self.is_text()) methods = &text_methods;
  if (self.is_dict()) methods = &dict_methods;
  if (self.is_list() && self.list().kind <= List::Kind::range) methods = &list_methods;
  if (self.loop()) methods = &loop_methods;
  if (!methods) return nullptr;
  const auto found = methods->find(name);
  return found == methods->end() ? nullptr : &found->second;
}

std::optional<Value> attribute_of_loop(const Loop& loop, std::string_view name) {
  const auto index = static_cast<std::int64_t>(loop.index);
  const auto length = static_cast<std::int64_t>(loop.items->items.size());
  if (name == "index") return index + 1;
  if (name == "index0") return index;
  if (name == "revindex") return length - index;
  if (name == "revindex0") return length - index - 1;
  if (name == "first") return index == 0;
  if (name == "last") return index + 1 == length;
  if (name == "length") return length;
  if (name == "depth") return std::int64_t{1};  // of a loop that does not call itself
  if (name == "depth0") return std::int64_t{0};
  if (name == "previtem")
    return index > 0 ? loop.items->items[loop.index - 1] : make_undefined("there is no previous item");
  if (name == "nextitem") {
    return index + 1 < length ? loop.items->items[loop.index + 1] : make_undefined("there is no next item");
  }
  return std::nullopt;
}

Value bound(const Value& self, std::string_view name) {
  return std::make_shared<const Callable>(
      Callable{.kind = Callable::Kind::method, .name = std::string(name), .self = self});
}

}  // namespace

bool has_method(const Value& self, std::string_view name) {
  return method_of(self, name) != nullptr;
}

Value call_method(Context& context, const Value& self, std::string_view name, const Arguments& arguments) {
  const Method* method = method_of(self, name);
  if (!method) fail("'{} object' has no method {}", type_name(self), in_quotes(name));
  return (*method)(context, self, arguments);
}

Value attribute_of(Context& context, const Value& value, std::string_view name) {
  require_defined(value);
  if (has_method(value, name)) return bound(value, name);
  if (value.is_dict()) {
    context.budget.step(value.dict().entries.size() / 8);
    if (const Value* found = find_key(value.dict(), name)) return *found;
  }
  if (const NamespacePtr* space = value.space()) {
    const auto found = (*space)->attributes.find(name);
    if (found != (*space)->attributes.end()) return found->second;
  }
  if (const LoopPtr* loop = value.loop()) {
    if (auto found = attribute_of_loop(**loop, name)) return *found;
  }
  return make_undefined(fmt::format("'{} object' has no attribute {}", type_name(value), in_quotes(name)));
}

Value subscript_of(Context& context, const Value& value, const Value& key) {
  if (!key.is_text()) return item_of(context.budget, value, key);
  if (value.is_dict()) {
    Value found = item_of(context.budget, value, key);
    if (!found.is_undefined() || !has_method(value, key.bytes())) return found;
  }
  return attribute_of(context, value, key.bytes());
}

}  // namespace precis::jinja
