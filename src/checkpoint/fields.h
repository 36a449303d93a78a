// Reading a JSON object that has many optional fields, some with two spellings, without losing sight of the rest.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace precis {

// True without control characters, which would break a message into lines.
bool is_printable(std::string_view name);
// A name from a file as messages may show it: control characters replaced, cut at 100 bytes.
std::string printable(std::string_view name);

// The fields of one object, and a record of which were asked for: what nobody asked for may matter (`unread`).
// An absent field and null are the same to all getters but `is_null`. All getters throw Error("FILE: key: ...").
class Fields {
 public:
  // Throws unless `object` is an object.
  explicit Fields(JsonView object);

  const JsonView& object() const { return object_; }

  std::optional<JsonView> find(std::string_view key);
  // The first of several spellings of one field, newest first.
  std::optional<JsonView> find(std::initializer_list<std::string_view> spellings);
  // Present, and null: for the few fields whose default differs from null.
  bool is_null(std::string_view key);
  // Throws when the field is absent.
  JsonView at(std::string_view key);

  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high);
  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high, std::int64_t fallback);
  bool flag(std::string_view key, bool fallback);
  double number(std::string_view key, double low, double high);
  double number(std::string_view key, double low, double high, double fallback);

  // Declares fields of no consequence as asked for.
  void ignore(std::string_view key) { read_.emplace(key); }
  // Fields that were never asked for and say something: not null, not false, not an empty list or object.
  std::vector<std::string> unread() const;

 private:
  JsonView object_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace precis
