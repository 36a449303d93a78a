// Filters over lists, dicts and characters.
#include <algorithm>

#include "base/error.h"
#include "jinja/arguments.h"
#include "jinja/filters.h"
#include "jinja/format.h"
#include "jinja/operators.h"
#include "jinja/text_tools.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

// item.a.b.0, by a path written as text or number.
Value by_path(Context& context, Value item, const Value& path) {
  if (!path.is_text()) return subscript_of(context, item, path);
  for (std::string_view rest = path.bytes();;) {
    const std::size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    const bool number = !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == part.npos;
    const Value key = number ? Value(std::int64_t{std::stoi(std::string(part))}) : make_text(std::string(part));
    item = subscript_of(context, item, key);
    if (dot == rest.npos) return item;
    rest.remove_prefix(dot + 1);
  }
}

// What an item is ordered or told apart by: an attribute of it, letters of both cases alike.
Value key_of(Context& context, const Value& item, const Value* attribute, bool case_sensitive) {
  Value key = attribute && !attribute->is_none() ? by_path(context, item, *attribute) : item;
  if (!case_sensitive && key.is_text()) key = cased(context.budget, key.text(), Casing::lower);
  return key;
}

using Keyed = std::vector<std::pair<Value, Value>>;  // key, item

Keyed keyed(Context& context, const Value& value, const Value* attribute, bool case_sensitive) {
  const ListPtr items = items_of(context.budget, value);
  context.budget.items(2 * items->items.size());
  Keyed all;
  for (const Value& item : items->items) all.emplace_back(key_of(context, item, attribute, case_sensitive), item);
  return all;
}

void order(Context& context, Keyed& all, bool reverse) {
  std::stable_sort(all.begin(), all.end(), [&](const auto& a, const auto& b) {
    return reverse ? less(context.budget, b.first, a.first) : less(context.budget, a.first, b.first);
  });
}

Value items_in(const Keyed& all, List::Kind kind = List::Kind::list) {
  std::vector<Value> items;
  for (const auto& [key, item] : all) items.push_back(item);
  return make_list(std::move(items), kind);
}

Value length(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("length", 0);
  return length_of(context.budget, value);
}

Value first(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("first", 0);
  if (value.is_text() && !value.text().empty()) {
    return value.text().slice(0, first_char(value.bytes()).length);
  }
  const ListPtr items = items_of(context.budget, value);
  return items->items.empty() ? make_undefined("No first item, sequence was empty.") : items->items.front();
}

Value last(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("last", 0);
  if (value.is_list() && value.list().kind == List::Kind::generator) fail("last: a generator cannot be reversed");
  const ListPtr items = items_of(context.budget, value);
  return items->items.empty() ? make_undefined("No last item, sequence was empty.") : items->items.back();
}

Value list(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("list", 0);
  const ListPtr items = items_of(context.budget, value);
  context.budget.items(items->items.size());
  return make_list(items->items);
}

Value join(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("join", 2, {"d", "attribute"});
  const Value* given = arguments.find(0, "d");
  const Value* attribute = arguments.find(1, "attribute");
  const MarkedText separator = given ? printed(context.budget, *given) : MarkedText();
  const ListPtr items = items_of(context.budget, value);
  MarkedText text;
  for (std::size_t i = 0; i < items->items.size(); ++i) {
    const bool part = attribute && !attribute->is_none();
    const MarkedText item =
        printed(context.budget, part ? by_path(context, items->items[i], *attribute) : items->items[i]);
    context.budget.step();
    context.budget.bytes(separator.size() + item.size());
    if (i > 0) text.append(separator);
    text.append(item);
  }
  return text;
}

Value reverse(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("reverse", 0);
  if (value.is_text()) return slice_of(context.budget, value, None{}, None{}, std::int64_t{-1});
  const ListPtr items = items_of(context.budget, value);
  context.budget.items(items->items.size());
  return make_list({items->items.rbegin(), items->items.rend()}, List::Kind::generator);
}

Value sort(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("sort", 3, {"reverse", "case_sensitive", "attribute"});
  const bool sensitive = bool_argument(arguments, 1, "case_sensitive", false);
  Keyed all = keyed(context, value, arguments.find(2, "attribute"), sensitive);
  order(context, all, bool_argument(arguments, 0, "reverse", false));
  return items_in(all);
}

Value dictsort(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("dictsort", 3, {"case_sensitive", "by", "reverse"});
  const std::string_view by = text_argument(arguments, 1, "by").value_or("key");
  if (by != "key" && by != "value") fail("dictsort: by {}, expected key or value", in_quotes(by));
  if (!value.is_dict()) fail("dictsort: a dict expected, found '{}'", type_name(value));
  const bool sensitive = bool_argument(arguments, 0, "case_sensitive", false);
  context.budget.items(3 * value.dict().entries.size());
  Keyed all;
  for (const auto& [key, entry] : value.dict().entries) {
    all.emplace_back(key_of(context, by == "key" ? key : entry, nullptr, sensitive),
                     make_list({key, entry}, List::Kind::tuple));
  }
  order(context, all, bool_argument(arguments, 2, "reverse", false));
  return items_in(all);
}

Value unique(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("unique", 2, {"case_sensitive", "attribute"});
  const bool sensitive = bool_argument(arguments, 0, "case_sensitive", false);
  Keyed kept;
  for (auto& entry : keyed(context, value, arguments.find(1, "attribute"), sensitive)) {
    if (entry.first.is_dict() || (entry.first.is_list() && entry.first.list().kind == List::Kind::list)) {
      fail("unique: a {} cannot be told apart from others", type_name(entry.first));
    }
    const bool known = std::any_of(kept.begin(), kept.end(),
                                   [&](const auto& other) { return equal(context.budget, entry.first, other.first); });
    if (!known) kept.push_back(std::move(entry));
  }
  return items_in(kept, List::Kind::generator);
}

template <bool Least>
Value extreme(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check(Least ? "min" : "max", 2, {"case_sensitive", "attribute"});
  const bool sensitive = bool_argument(arguments, 0, "case_sensitive", false);
  const Keyed all = keyed(context, value, arguments.find(1, "attribute"), sensitive);
  if (all.empty()) return make_undefined("No aggregated item, sequence was empty.");
  const auto before = [&](const auto& a, const auto& b) { return less(context.budget, a.first, b.first); };
  if (Least) return std::min_element(all.begin(), all.end(), before)->second;
  return std::max_element(all.begin(), all.end(), before)->second;
}

Value sum(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("sum", 2, {"attribute", "start"});
  const Value* start = arguments.find(1, "start");
  Value total = start ? *start : Value(std::int64_t{0});
  for (const auto& [key, item] : keyed(context, value, arguments.find(0, "attribute"), true)) {
    total = arithmetic(context.budget, Operator::add, total, key);
  }
  return total;
}

Value otherwise(Context&, const Value& value, const Arguments& arguments) {
  arguments.check("default", 2, {"default_value", "boolean"});
  const Value* given = arguments.find(0, "default_value");
  const bool absent = value.is_undefined() || (bool_argument(arguments, 1, "boolean", false) && !truth(value));
  if (!absent) return value;
  return given ? *given : make_text("");
}

Value items(Context& context, const Value& value, const Arguments& arguments) {
  arguments.check("items", 0);
  if (value.is_undefined()) return make_list({}, List::Kind::generator);
  if (!value.is_dict()) fail("items: a dict expected, found '{}'", type_name(value));
  return make_list(call_method(context, value, "items", {}).list().items, List::Kind::generator);
}

Arguments behind(const Arguments& arguments, std::size_t count) {
  Arguments rest = arguments;
  const auto taken = static_cast<std::ptrdiff_t>(std::min(count, rest.positional.size()));
  rest.positional.erase(rest.positional.begin(), rest.positional.begin() + taken);
  return rest;
}

// What map and select walk: what is false has no items, whatever it is.
ListPtr items_if_true(Context& context, const Value& value) {
  return truth(value) ? items_of(context.budget, value) : std::make_shared<const List>();
}

// map(attribute=..., default=...) or map("filter", arguments...).
Value map(Context& context, const Value& value, const Arguments& arguments) {
  const Value* attribute = arguments.positional.empty() ? arguments.find(0, "attribute") : nullptr;
  const ListPtr source = items_if_true(context, value);
  context.budget.items(source->items.size());
  std::vector<Value> results;
  if (attribute) {
    arguments.check("map", 0, {"attribute", "default"});
    const Value* absent = arguments.find(0, "default");
    for (const Value& item : source->items) {
      Value part = by_path(context, item, *attribute);
      results.push_back(part.is_undefined() && absent ? *absent : std::move(part));
    }
  } else {
    const std::string name(needed_text(arguments, 0, "map needs a filter's name or attribute"));
    const Arguments rest = behind(arguments, 1);
    for (const Value& item : source->items) results.push_back(apply_filter(context, name, item, rest));
  }
  return make_list(std::move(results), List::Kind::generator);
}

// select("test", arguments...), selectattr("path", "test", arguments...); without a test by truth.
template <bool Keeps, bool ByAttribute>
Value select(Context& context, const Value& value, const Arguments& arguments) {
  const ListPtr source = items_if_true(context, value);
  const Value attribute = ByAttribute ? needed_argument(arguments, 0, "an attribute") : Value();
  const auto name = text_argument(arguments, ByAttribute ? 1 : 0, "the test's name");
  const Arguments rest = behind(arguments, ByAttribute ? 2 : 1);
  context.budget.items(source->items.size());
  std::vector<Value> kept;
  for (const Value& item : source->items) {
    const Value part = ByAttribute ? by_path(context, item, attribute) : item;
    if ((name ? apply_test(context, *name, part, rest) : truth(part)) == Keeps) kept.push_back(item);
  }
  return make_list(std::move(kept), List::Kind::generator);
}

}  // namespace

NamedFilters list_filters() {
  return {{"length", length},
          {"count", length},
          {"first", first},
          {"last", last},
          {"list", list},
          {"join", join},
          {"reverse", reverse},
          {"sort", sort},
          {"dictsort", dictsort},
          {"unique", unique},
          {"min", extreme<true>},
          {"max", extreme<false>},
          {"sum", sum},
          {"default", otherwise},
          {"d", otherwise},
          {"items", items},
          {"map", map},
          {"select", select<true, false>},
          {"reject", select<false, false>},
          {"selectattr", select<true, true>},
          {"rejectattr", select<false, true>}};
}

}  // namespace precis::jinja
