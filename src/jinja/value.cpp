#include "jinja/value.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "jinja/callable.h"
#include "jinja/operators.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

constexpr int greatest_depth = 100;

int depth_of(const Value& value) {
  if (value.is_list()) return value.list().depth;
  if (value.is_dict()) return value.dict().depth;
  if (const CallablePtr* callable = value.callable()) return depth_of((*callable)->self) + 1;
  return 0;
}

int one_deeper(int depth) {
  if (depth >= greatest_depth) fail("lists and dicts are nested deeper than {}", greatest_depth);
  return depth + 1;
}

}  // namespace

const void* Value::identity() const {
  return std::visit(
      [](const auto& data) -> const void* {
        if constexpr (requires { data.get(); }) {
          return data.get();
        } else {
          return nullptr;
        }
      },
      data_);
}

const Value* Arguments::find(std::size_t index, std::string_view name) const {
  if (index < positional.size()) return &positional[index];
  for (const auto& [key, value] : named) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Arguments::check(std::string_view function, std::size_t most,
                      std::initializer_list<std::string_view> names) const {
  if (positional.size() > most) {
    fail("{}: {} arguments given, at most {} expected", function, positional.size(), most);
  }
  for (const auto& [key, value] : named) {
    if (std::find(names.begin(), names.end(), key) == names.end()) {
      fail("{}: argument {} is not known here", function, in_quotes(key));
    }
  }
}

Value make_list(std::vector<Value> items, List::Kind kind) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, depth_of(item));
  auto list = std::make_shared<List>();
  list->items = std::move(items);
  list->kind = kind;
  list->depth = one_deeper(depth);
  return ListPtr(std::move(list));
}

Value make_dict(std::vector<std::pair<Value, Value>> entries) {
  int depth = 0;
  for (const auto& [key, value] : entries) depth = std::max({depth, depth_of(key), depth_of(value)});
  auto dict = std::make_shared<Dict>();
  dict->entries = std::move(entries);
  dict->depth = one_deeper(depth);
  return DictPtr(std::move(dict));
}

Value make_undefined(std::string why) {
  return Undefined{std::make_shared<const std::string>(std::move(why))};
}

Value make_text(std::string bytes, bool trusted) {
  return MarkedText(std::move(bytes), trusted);
}

Value from_json(const nlohmann::ordered_json& json, bool trusted) {
  using Type = nlohmann::ordered_json::value_t;
  switch (json.type()) {
    case Type::boolean:
      return json.get<bool>();
    case Type::number_integer:
      return json.get<std::int64_t>();
    case Type::number_unsigned:
      if (json.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
        fail("{} is larger than 64 bits hold", json.get<std::uint64_t>());
      }
      return json.get<std::int64_t>();
    case Type::number_float:
      return json.get<double>();
    case Type::string:
      return make_text(json.get<std::string>(), trusted);
    case Type::array: {
      std::vector<Value> items;
      for (const auto& item : json) items.push_back(from_json(item, trusted));
      return make_list(std::move(items));
    }
    case Type::object: {
      std::vector<std::pair<Value, Value>> entries;
      for (const auto& [key, value] : json.items()) {
        entries.emplace_back(make_text(key, trusted), from_json(value, trusted));
      }
      return make_dict(std::move(entries));
    }
    default:
      return None{};
  }
}

std::string_view type_name(const Value& value) {
  if (value.is_undefined()) return "Undefined";
  if (value.is_none()) return "NoneType";
  if (value.is_bool()) return "bool";
  if (value.is_int()) return "int";
  if (value.is_float()) return "float";
  if (value.is_text()) return "str";
  if (value.is_dict()) return "dict";
  if (value.is_list()) {
    constexpr std::string_view names[] = {"list", "tuple", "range", "dict view", "generator"};
    return names[static_cast<std::size_t>(value.list().kind)];
  }
  if (value.space()) return "Namespace";
  return value.loop() ? "LoopContext" : "function";
}

const Value* find_key(const Dict& dict, std::string_view key) {
  for (const auto& [name, value] : dict.entries) {
    if (name.is_text() && name.bytes() == key) return &value;
  }
  return nullptr;
}

const Value* find_key(const Dict& dict, const Value& key) {
  if (key.is_text()) return find_key(dict, key.bytes());
  for (const auto& [name, value] : dict.entries) {
    const bool same =
        (key.is_number() && name.is_number()) ? key.number() == name.number() : key.is_none() && name.is_none();
    if (same) return &value;
  }
  return nullptr;
}

void require_defined(const Value& value) {
  if (!value.is_undefined()) return;
  const auto& why = value.undefined().why;
  throw Error(why ? *why : "a value is undefined");
}

}  // namespace precis::jinja
