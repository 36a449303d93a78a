// JSON as it is read here: a value with the path that leads to it, so that every complaint names file, field and value.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace precis {

// A view of one value in a parsed document, which it keeps alive. Cheap to copy. All getters throw
// Error("FILE: a.b[2]: expected ..., found ...").
class JsonView {
 public:
  // Parses a document. `name` is the file as messages shall call it. Nesting deeper than 64 is refused.
  static JsonView parse(std::string_view text, std::string name);
  // Reads and parses a file of at most `max_bytes`.
  static JsonView read(const std::filesystem::path& path, std::int64_t max_bytes = 256 << 20);

  bool is_null() const;
  bool is_object() const;
  bool is_array() const;
  bool is_string() const;
  bool is_number() const;
  bool is_integer() const;
  bool is_bool() const;

  // Objects. `find` gives nothing for an absent key and for null.
  JsonView at(std::string_view key) const;
  std::optional<JsonView> find(std::string_view key) const;
  std::vector<std::string> keys() const;

  // Arrays.
  std::size_t size() const;
  JsonView operator[](std::size_t index) const;

  // Scalars. `integer` accepts 3 and 3.0, and refuses a value outside [low, high].
  std::int64_t integer(std::int64_t low, std::int64_t high) const;
  double number() const;
  bool boolean() const;
  const std::string& string() const;

  // Where this value stands: "FILE: a.b[2]".
  std::string place() const;
  // Throws Error("FILE: a.b[2]: complaint, found VALUE").
  [[noreturn]] void refuse(std::string_view complaint) const;
  // The value in short, for messages.
  std::string shown() const;
  // For a walk over many values (a vocabulary of 150,000 entries).
  const nlohmann::json& raw() const { return *node_; }

 private:
  JsonView(std::shared_ptr<const nlohmann::json> document, const nlohmann::json* node, std::string file,
           std::string path);

  std::shared_ptr<const nlohmann::json> document_;
  const nlohmann::json* node_;
  std::string file_;
  std::string path_;
};

}  // namespace precis
