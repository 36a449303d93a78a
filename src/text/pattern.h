// A `pattern` of tokenizer.json: {"String": text} or {"Regex": expression}.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/regex.h"

namespace precis {

class Pattern {
 public:
  // Throws Error when `json` is neither, or the expression cannot be taken.
  explicit Pattern(const JsonView& json);
  explicit Pattern(Regex regex) : regex_(std::move(regex)) {}

  // As Regex::matches.
  std::vector<TextRange> matches(std::string_view text) const;
  // The text of a {"String": text}.
  const std::string& literal() const { return literal_; }
  bool is_literal() const { return !regex_; }

 private:
  std::optional<Regex> regex_;
  std::string literal_;  // not empty when there is no regex_
};

}  // namespace precis
