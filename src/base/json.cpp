#include "base/json.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace precis {
namespace {

constexpr int max_depth = 64;

// Depth by brackets alone, outside strings: cheap, and known before the parser builds anything.
bool too_deep(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > max_depth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace

JsonView::JsonView(std::shared_ptr<const nlohmann::json> document, const nlohmann::json* node, std::string file,
                   std::string path)
    : document_(std::move(document)), node_(node), file_(std::move(file)), path_(std::move(path)) {}

JsonView JsonView::parse(std::string_view text, std::string name) {
  if (too_deep(text)) fail("{}: JSON nested deeper than {}", name, max_depth);
  try {
    auto document = std::make_shared<const nlohmann::json>(nlohmann::json::parse(text));
    const nlohmann::json* root = document.get();
    return JsonView(std::move(document), root, std::move(name), "");
  } catch (const nlohmann::json::exception& error) {
    std::string reason = error.what();
    for (char& c : reason) {
      if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
    }
    fail("{}: not valid JSON: {}", name, reason.substr(0, 200));
  }
}

JsonView JsonView::read(const std::filesystem::path& path, std::int64_t max_bytes) {
  return parse(read_text(path, max_bytes), path.string());
}

bool JsonView::is_null() const {
  return node_->is_null();
}
bool JsonView::is_object() const {
  return node_->is_object();
}
bool JsonView::is_array() const {
  return node_->is_array();
}
bool JsonView::is_string() const {
  return node_->is_string();
}
bool JsonView::is_number() const {
  return node_->is_number();
}
bool JsonView::is_integer() const {
  return node_->is_number_integer();
}
bool JsonView::is_bool() const {
  return node_->is_boolean();
}

JsonView JsonView::at(std::string_view key) const {
  if (!is_object()) refuse("expected an object");
  const auto found = node_->find(key);
  std::string path = path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
  if (found == node_->end()) fail("{}: {}: missing", file_, path);
  return JsonView(document_, &*found, file_, std::move(path));
}

std::optional<JsonView> JsonView::find(std::string_view key) const {
  if (!is_object()) refuse("expected an object");
  const auto found = node_->find(key);
  if (found == node_->end() || found->is_null()) return std::nullopt;
  return at(key);
}

std::vector<std::string> JsonView::keys() const {
  if (!is_object()) refuse("expected an object");
  std::vector<std::string> keys;
  for (auto it = node_->begin(); it != node_->end(); ++it) keys.push_back(it.key());
  return keys;
}

std::size_t JsonView::size() const {
  if (!is_array()) refuse("expected an array");
  return node_->size();
}

JsonView JsonView::operator[](std::size_t index) const {
  PRECIS_CHECK(index < size());
  return JsonView(document_, &(*node_)[index], file_, fmt::format("{}[{}]", path_, index));
}

std::int64_t JsonView::integer(std::int64_t low, std::int64_t high) const {
  std::optional<std::int64_t> value;
  if (node_->is_number_unsigned()) {
    const auto raw = node_->get<std::uint64_t>();
    if (std::in_range<std::int64_t>(raw)) value = static_cast<std::int64_t>(raw);
  } else if (node_->is_number_integer()) {
    value = node_->get<std::int64_t>();
  } else if (node_->is_number_float()) {
    const double raw = node_->get<double>();
    if (raw == std::floor(raw) && std::abs(raw) < 9e15) value = static_cast<std::int64_t>(raw);
  }
  if (!value || *value < low || *value > high) refuse(fmt::format("expected an integer from {} to {}", low, high));
  return *value;
}

double JsonView::number() const {
  if (!is_number()) refuse("expected a number");
  const double value = node_->get<double>();
  if (!std::isfinite(value)) refuse("expected a finite number");
  return value;
}

bool JsonView::boolean() const {
  if (!is_bool()) refuse("expected true or false");
  return node_->get<bool>();
}

const std::string& JsonView::string() const {
  if (!is_string()) refuse("expected a string");
  return node_->get_ref<const std::string&>();
}

std::string JsonView::place() const {
  return path_.empty() ? file_ : fmt::format("{}: {}", file_, path_);
}

void JsonView::refuse(std::string_view complaint) const {
  fail("{}: {}, found {}", place(), complaint, shown());
}

std::string JsonView::shown() const {
  std::string text = node_->dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

}  // namespace precis
