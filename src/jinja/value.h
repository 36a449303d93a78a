// What a template computes with: Python's values, as far as chat templates see them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "jinja/marked_text.h"

namespace precis::jinja {

struct List;
struct Dict;
struct Namespace;
struct Callable;
struct Loop;

// A name or attribute that is not there: nothing when printed, an error when used. `why` says what was missing.
struct Undefined {
  std::shared_ptr<const std::string> why;
};
struct None {};

using TextPtr = std::shared_ptr<const MarkedText>;
using ListPtr = std::shared_ptr<const List>;
using DictPtr = std::shared_ptr<const Dict>;
using NamespacePtr = std::shared_ptr<Namespace>;
using CallablePtr = std::shared_ptr<const Callable>;
using LoopPtr = std::shared_ptr<Loop>;

// Immutable but for namespaces and loops; cheap to copy.
class Value {
 public:
  Value() = default;  // undefined
  Value(None) : data_(None{}) {}
  Value(Undefined undefined) : data_(std::move(undefined)) {}
  Value(bool value) : data_(value) {}
  Value(std::int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(MarkedText text) : data_(std::make_shared<const MarkedText>(std::move(text))) {}
  Value(TextPtr text) : data_(std::move(text)) {}
  Value(ListPtr list) : data_(std::move(list)) {}
  Value(DictPtr dict) : data_(std::move(dict)) {}
  Value(NamespacePtr space) : data_(std::move(space)) {}
  Value(CallablePtr callable) : data_(std::move(callable)) {}
  Value(LoopPtr loop) : data_(std::move(loop)) {}
  Value(const char*) = delete;

  bool is_undefined() const { return is<Undefined>(); }
  bool is_none() const { return is<None>(); }
  bool is_bool() const { return is<bool>(); }
  bool is_int() const { return is<std::int64_t>(); }
  bool is_float() const { return is<double>(); }
  bool is_number() const { return is_bool() || is_int() || is_float(); }
  bool is_text() const { return is<TextPtr>(); }
  bool is_list() const { return is<ListPtr>(); }
  bool is_dict() const { return is<DictPtr>(); }

  const MarkedText& text() const { return *std::get<TextPtr>(data_); }
  std::string_view bytes() const { return text().bytes(); }
  const List& list() const { return *std::get<ListPtr>(data_); }
  const Dict& dict() const { return *std::get<DictPtr>(data_); }
  // A bool counts as 0 or 1.
  std::int64_t integer() const { return is_bool() ? (std::get<bool>(data_) ? 1 : 0) : std::get<std::int64_t>(data_); }
  double number() const { return is_float() ? std::get<double>(data_) : static_cast<double>(integer()); }
  bool boolean() const { return std::get<bool>(data_); }
  const Undefined& undefined() const { return std::get<Undefined>(data_); }

  // Null for another type.
  const NamespacePtr* space() const { return std::get_if<NamespacePtr>(&data_); }
  const CallablePtr* callable() const { return std::get_if<CallablePtr>(&data_); }
  const LoopPtr* loop() const { return std::get_if<LoopPtr>(&data_); }
  // Where its parts lie: equal for two values that are one.
  const void* identity() const;

 private:
  template <typename T>
  bool is() const {
    return std::holds_alternative<T>(data_);
  }

  std::variant<Undefined, None, bool, std::int64_t, double, TextPtr, ListPtr, DictPtr, NamespacePtr, CallablePtr,
               LoopPtr>
      data_;
};

struct List {
  enum class Kind {
    list,
    tuple,
    range,
    view,       // what dict.items() and its like give: can be counted and walked, not indexed
    generator,  // what map, select and their like give: true, uncounted, walked once
  };
  std::vector<Value> items;
  Kind kind = Kind::list;
  int depth = 1;               // lists and dicts nested, itself included
  mutable bool spent = false;  // a generator that was walked
};

struct Dict {
  std::vector<std::pair<Value, Value>> entries;  // in the order of their coming
  int depth = 1;
};

// {% set ns.x = ... %}: the one thing that a loop's body can change for those after it.
struct Namespace {
  std::map<std::string, Value, std::less<>> attributes;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // The argument at `index` or called `name`; null if it was not given.
  const Value* find(std::size_t index, std::string_view name) const;
  // Throws Error when there are more than `most`, or one is named otherwise than `names`.
  void check(std::string_view function, std::size_t most, std::initializer_list<std::string_view> names = {}) const;
};

// Throws Error where values nest deeper than a template needs.
Value make_list(std::vector<Value> items, List::Kind kind = List::Kind::list);
Value make_dict(std::vector<std::pair<Value, Value>> entries);
Value make_undefined(std::string why);
Value make_text(std::string bytes, bool trusted = true);

// JSON as values. All its texts get the same mark.
Value from_json(const nlohmann::ordered_json& json, bool trusted);

// Python's name of its type: "str", "NoneType".
std::string_view type_name(const Value& value);
// Null when the dict has no such key.
const Value* find_key(const Dict& dict, std::string_view key);
const Value* find_key(const Dict& dict, const Value& key);
// Throws Error("'x' is undefined") for what is.
void require_defined(const Value& value);

}  // namespace precis::jinja
