#include "checkpoint/fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace precis {
namespace {

bool is_control(char c) {
  return static_cast<unsigned char>(c) < ' ' || c == '\x7f';
}

double checked_number(const JsonView& value, double low, double high) {
  const double number = value.number();
  if (number < low || number > high) value.refuse(fmt::format("expected a number from {} to {}", low, high));
  return number;
}

bool says_nothing(const JsonView& value) {
  if (value.is_null()) return true;
  if (value.is_bool()) return !value.boolean();
  if (value.is_array()) return value.size() == 0;
  return value.is_object() && value.keys().empty();
}

}  // namespace

bool is_printable(std::string_view name) {
  return std::none_of(name.begin(), name.end(), is_control);
}

std::string printable(std::string_view name) {
  constexpr std::size_t longest = 100;
  std::string text(name.substr(0, longest));
  std::replace_if(text.begin(), text.end(), is_control, '?');
  if (name.size() > longest) text += "...";
  return text;
}

Fields::Fields(JsonView object) : object_(std::move(object)) {
  if (!object_.is_object()) object_.refuse("expected an object");
}

std::optional<JsonView> Fields::find(std::string_view key) {
  read_.emplace(key);
  return object_.find(key);
}

std::optional<JsonView> Fields::find(std::initializer_list<std::string_view> spellings) {
  std::optional<JsonView> found;
  for (const std::string_view key : spellings) {
    auto value = find(key);
    if (!found) found = std::move(value);
  }
  return found;
}

bool Fields::is_null(std::string_view key) {
  read_.emplace(key);
  return object_.raw().contains(key) && object_.at(key).is_null();
}

JsonView Fields::at(std::string_view key) {
  auto value = find(key);
  if (!value) fail("{}: {}: missing", object_.place(), key);
  return *std::move(value);
}

std::int64_t Fields::integer(std::string_view key, std::int64_t low, std::int64_t high) {
  return at(key).integer(low, high);
}

std::int64_t Fields::integer(std::string_view key, std::int64_t low, std::int64_t high, std::int64_t fallback) {
  const auto value = find(key);
  return value ? value->integer(low, high) : fallback;
}

bool Fields::flag(std::string_view key, bool fallback) {
  const auto value = find(key);
  return value ? value->boolean() : fallback;
}

double Fields::number(std::string_view key, double low, double high) {
  return checked_number(at(key), low, high);
}

double Fields::number(std::string_view key, double low, double high, double fallback) {
  const auto value = find(key);
  return value ? checked_number(*value, low, high) : fallback;
}

std::vector<std::string> Fields::unread() const {
  std::vector<std::string> names;
  for (std::string& key : object_.keys()) {
    if (!read_.contains(key) && !says_nothing(object_.at(key))) names.push_back(std::move(key));
  }
  return names;
}

}  // namespace precis
