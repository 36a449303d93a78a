// Splitting patterns, as tokenizer.json writes them, through PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace precis {

// A range [begin, end) of bytes of some text.
struct TextRange {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool operator==(const TextRange&) const = default;
};

// Hugging Face compiles these patterns with Oniguruma (Ruby syntax, Unicode). Where PCRE2 reads the same text
// otherwise, the pattern is rewritten (\s, \w, \h) or refused. Compiled once; any number of threads may search with it.
class Regex {
 public:
  // Throws Error with the reason when the pattern cannot be taken.
  explicit Regex(std::string_view pattern);

  // All matches in `text` (valid UTF-8), left to right, not overlapping; some may be empty. Throws Error when a match
  // needs more steps than a text of that length ever should (a pattern that backtracks without end).
  std::vector<TextRange> matches(std::string_view text) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

// The pattern in PCRE2's language. Throws Error for what has no equal there.
std::string pcre2_pattern(std::string_view oniguruma);

}  // namespace precis
