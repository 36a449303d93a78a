#include "text/pattern.h"

#include "base/error.h"

namespace precis {

Pattern::Pattern(const JsonView& json) {
  if (const auto regex = json.find("Regex")) {
    within(regex->place(), [&] { regex_.emplace(regex->string()); });
    return;
  }
  if (!json.find("String")) json.refuse("expected {\"String\": ...} or {\"Regex\": ...}");
  literal_ = json.at("String").string();
  if (literal_.empty()) json.at("String").refuse("expected a text that is not empty");
}

std::vector<TextRange> Pattern::matches(std::string_view text) const {
  if (regex_) return regex_->matches(text);
  std::vector<TextRange> found;
  for (std::size_t at = text.find(literal_); at != std::string_view::npos;
       at = text.find(literal_, at + literal_.size())) {
    found.push_back({at, at + literal_.size()});
  }
  return found;
}

}  // namespace precis
