#include "needle_verdict.h"

#include <algorithm>
#include <iterator>

#include "needle_fact.h"

namespace precis {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_letters(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](char a, char b) { return lower(a) == lower(b); });
}

// The character of `text` that has the byte at `at` is a letter or digit. Of those beyond ASCII the letters of two
// bytes are (Latin, Greek, Cyrillic, ...); longer ones are quotes and dashes, or scripts that put no space between
// words.
bool is_word_part(std::string_view text, std::size_t at) {
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80) --at;
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte >= 0x80) return byte >= 0xC3 && byte < 0xE0;
  return is_digit(text[at]) || (lower(text[at]) >= 'a' && lower(text[at]) <= 'z') || text[at] == '_';
}

// `sign` joins what stands at its two sides: "blue-green", "3.14", "81,252".
bool joins(std::string_view text, std::size_t sign) {
  if (sign == 0 || sign + 1 >= text.size()) return false;
  if (text[sign] == '-') return is_word_part(text, sign - 1) && is_word_part(text, sign + 1);
  const bool mark = text[sign] == '.' || text[sign] == ',';
  return mark && is_digit(text[sign - 1]) && is_digit(text[sign + 1]);
}

// Nothing goes on beyond [begin, end).
bool is_whole(std::string_view text, std::size_t begin, std::size_t end) {
  if (begin > 0 && (is_word_part(text, begin - 1) || joins(text, begin - 1))) return false;
  return end >= text.size() || (!is_word_part(text, end) && !joins(text, end));
}

bool is_number(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

// Whole numbers of `digits` digits in `text`.
std::vector<std::string_view> numbers_in(std::string_view text, std::size_t digits) {
  std::vector<std::string_view> numbers;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = begin;
    while (end < text.size() && is_digit(text[end])) ++end;
    if (end - begin == digits && is_whole(text, begin, end)) numbers.push_back(text.substr(begin, digits));
    begin = std::max(end, begin + 1);
  }
  return numbers;
}

// What `text` lists that could be taken for `answer`, it included.
std::vector<std::string_view> candidates(std::string_view text, std::string_view answer) {
  if (is_number(answer)) return numbers_in(text, answer.size());
  std::vector<std::string_view> found;
  for (const FactKind& kind : fact_kinds()) {
    const auto is_answer = [&](std::string_view value) { return same_letters(value, answer); };
    if (std::none_of(kind.values.begin(), kind.values.end(), is_answer)) continue;
    std::copy_if(kind.values.begin(), kind.values.end(), std::back_inserter(found),
                 [&](std::string_view value) { return has_word(text, value); });
  }
  return found;
}

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::right:
      return "right";
    case Verdict::missing:
      return "missing";
    case Verdict::several:
      return "several";
    case Verdict::cut:
      return "cut";
  }
  return "missing";
}

bool has_word(std::string_view text, std::string_view word) {
  if (word.empty() || word.size() > text.size()) return false;
  for (std::size_t begin = 0; begin + word.size() <= text.size(); ++begin) {
    if (same_letters(text.substr(begin, word.size()), word) && is_whole(text, begin, begin + word.size())) return true;
  }
  return false;
}

bool lists_others(std::string_view reply, const std::vector<std::string>& answers) {
  for (const std::string& answer : answers) {
    for (const std::string_view candidate : candidates(reply, answer)) {
      const auto is_wanted = [&](const std::string& wanted) { return same_letters(wanted, candidate); };
      if (std::none_of(answers.begin(), answers.end(), is_wanted)) return true;
    }
  }
  return false;
}

Verdict judge(std::string_view reply, bool ended, const std::vector<std::string>& answers) {
  if (!ended) return Verdict::cut;
  const auto is_there = [&](const std::string& answer) { return has_word(reply, answer); };
  if (!std::all_of(answers.begin(), answers.end(), is_there)) return Verdict::missing;
  return lists_others(reply, answers) ? Verdict::several : Verdict::right;
}

}  // namespace precis
