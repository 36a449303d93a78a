#include "text/added_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace precis {
namespace {

std::uint8_t byte_at(std::string_view text, std::size_t i) {
  return static_cast<std::uint8_t>(text[i]);
}

// The first byte of the character that ends at `end` (> 0) of valid UTF-8.
std::size_t char_before(std::string_view text, std::size_t end) {
  std::size_t begin = end - 1;
  while (begin > 0 && (byte_at(text, begin) & 0xC0) == 0x80) --begin;
  return begin;
}

bool between_words(std::string_view text, TextRange range) {
  if (range.begin > 0 && is_word_char(first_char(text.substr(char_before(text, range.begin))).code)) return false;
  return range.end == text.size() || !is_word_char(first_char(text.substr(range.end)).code);
}

bool overlap(TextRange a, TextRange b) {
  return a.begin < b.end && b.begin < a.end;
}

}  // namespace

AddedTokens::AddedTokens(std::span<const AddedToken> tokens)
    : tokens_(tokens.begin(), tokens.end()), ends_here_(1, -1) {
  for (std::size_t index = 0; index < tokens_.size(); ++index) {
    const std::string& content = tokens_[index].content;
    PRECIS_CHECK(!content.empty());
    begins_[byte_at(content, 0)] = true;
    std::uint64_t node = 0;
    for (std::size_t i = 0; i < content.size(); ++i) {
      node = children_.at_or(node << 8 | byte_at(content, i), ends_here_.size());
      if (node == ends_here_.size()) ends_here_.push_back(-1);
    }
    PRECIS_CHECK(ends_here_[node] < 0, "{}", content);
    ends_here_[node] = static_cast<std::int32_t>(index);
  }
}

std::optional<AddedTokens::Hit> AddedTokens::longest_at(std::string_view text, std::size_t begin) const {
  std::optional<Hit> longest;
  std::uint64_t node = 0;
  for (std::size_t i = begin; i < text.size(); ++i) {
    const std::uint64_t* child = children_.find(node << 8 | byte_at(text, i));
    if (!child) break;
    node = *child;
    if (ends_here_[node] >= 0) longest = {static_cast<std::size_t>(ends_here_[node]), i + 1};
  }
  return longest;
}

TextRange AddedTokens::with_white_space(const AddedToken& token, std::string_view text, TextRange range,
                                        std::size_t done) const {
  while (token.lstrip && range.begin > done) {
    const std::size_t before = char_before(text, range.begin);
    if (!is_white_space(first_char(text.substr(before)).code)) break;
    range.begin = before;
  }
  while (token.rstrip && range.end < text.size()) {
    const Utf8Char after = first_char(text.substr(range.end));
    if (!is_white_space(after.code)) break;
    range.end += after.length;
  }
  return range;
}

std::vector<AddedTokens::Match> AddedTokens::find(std::string_view text, std::span<const TextRange> trusted) const {
  std::vector<Match> found;
  if (empty()) return found;
  std::size_t done = 0;           // end of the last match
  auto around = trusted.begin();  // the first trusted range that ends after `at`
  for (std::size_t at = 0; at < text.size();) {
    const std::optional<Hit> hit = begins_[byte_at(text, at)] ? longest_at(text, at) : std::nullopt;
    if (!hit) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[hit->token];
    const TextRange range = {at, hit->end};
    while (around != trusted.end() && around->end <= at) ++around;
    const bool inside = around != trusted.end() && around->begin <= at && range.end <= around->end;
    if (token.special && !inside) {
      // Spelled by the user: text, all of it. Spelled half by the user: a real one may begin within.
      at = around != trusted.end() && overlap(range, *around) ? at + 1 : range.end;
      continue;
    }
    at = range.end;
    if (token.single_word && !between_words(text, range)) continue;
    const TextRange taken = with_white_space(token, text, range, done);
    found.push_back({taken, token.id});
    done = taken.end;
    at = std::max(at, taken.end);
  }
  return found;
}

}  // namespace precis
