#include "jinja/text_tools.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "jinja/white_space.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

char32_t upper(char32_t code) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(code)));
}
char32_t lower(char32_t code) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
}
constexpr char32_t sharp_s = 0xDF;  // the one letter in common use of which upper case makes two
bool is_cased(char32_t code) {
  return code == sharp_s || upper(code) != code || lower(code) != code;
}

bool in_set(std::string_view character, char32_t code, const std::optional<std::string_view>& set) {
  return set ? set->find(character) != set->npos : is_space(code);
}

std::vector<MarkedText> split_at_spaces(Budget& budget, const MarkedText& text, std::int64_t most) {
  std::vector<MarkedText> parts;
  const std::string_view bytes = text.bytes();
  std::size_t at = leading_space(bytes);
  while (at < bytes.size()) {
    budget.items(1);
    std::size_t end = at;
    if (most >= 0 && static_cast<std::int64_t>(parts.size()) >= most) {
      end = bytes.size();
    } else {
      while (end < bytes.size()) {
        const Utf8Char next = first_char(bytes.substr(end));
        if (is_space(next.code)) break;
        end += next.length;
      }
    }
    parts.push_back(text.slice(at, end));
    at = end + leading_space(bytes.substr(end));
  }
  return parts;
}

std::vector<MarkedText> split_at_spaces_from_right(Budget& budget, const MarkedText& text, std::int64_t most) {
  std::vector<MarkedText> parts;
  const std::string_view bytes = text.bytes();
  std::size_t end = bytes.size() - trailing_space(bytes);
  while (end > 0) {
    budget.items(1);
    std::size_t begin = end;
    if (most >= 0 && static_cast<std::int64_t>(parts.size()) >= most) {
      begin = 0;
    } else {
      while (begin > 0) {
        const std::size_t length = last_length(bytes.substr(0, begin));
        if (is_space(first_char(bytes.substr(begin - length)).code)) break;
        begin -= length;
      }
    }
    parts.push_back(text.slice(begin, end));
    end = begin - trailing_space(bytes.substr(0, begin));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

// Line ends as str.splitlines() sees them.
bool ends_line(char32_t code) {
  return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 || code == 0x2028 ||
         code == 0x2029;
}

}  // namespace

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::size_t byte_of(std::string_view text, std::size_t index) {
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0) != 0x80 && index-- == 0) break;
  }
  return at;
}

std::vector<std::size_t> character_starts(std::string_view text) {
  std::vector<std::size_t> starts;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0) != 0x80) starts.push_back(at);
  }
  starts.push_back(text.size());
  return starts;
}

std::size_t find_text(std::string_view text, std::string_view wanted, std::size_t from) {
  if (from > text.size()) return text.npos;
  if (wanted.empty()) return from;
  const void* found = ::memmem(text.data() + from, text.size() - from, wanted.data(), wanted.size());
  return found ? static_cast<std::size_t>(static_cast<const char*>(found) - text.data()) : text.npos;
}

std::size_t find_last_text(std::string_view text, std::string_view wanted) {
  if (wanted.empty()) return text.size();
  // By reversed texts, for the sake of linear time.
  const std::string back(text.rbegin(), text.rend());
  const std::string wanted_back(wanted.rbegin(), wanted.rend());
  const std::size_t found = find_text(back, wanted_back, 0);
  return found == text.npos ? found : text.size() - found - wanted.size();
}

MarkedText stripped(Budget& budget, const MarkedText& text, const std::optional<std::string_view>& set, bool left,
                    bool right) {
  budget.bytes(text.size());
  const std::string_view bytes = text.bytes();
  std::size_t begin = 0;
  std::size_t end = bytes.size();
  while (left && begin < end) {
    const Utf8Char next = first_char(bytes.substr(begin));
    if (set) budget.step(1 + set->size() / 64);
    if (!in_set(bytes.substr(begin, next.length), next.code, set)) break;
    begin += next.length;
  }
  while (right && begin < end) {
    const std::size_t length = last_length(bytes.substr(begin, end - begin));
    const std::string_view character = bytes.substr(end - length, length);
    if (set) budget.step(1 + set->size() / 64);
    if (!in_set(character, first_char(character).code, set)) break;
    end -= length;
  }
  return text.slice(begin, end);
}

std::vector<MarkedText> split(Budget& budget, const MarkedText& text, const std::optional<std::string_view>& separator,
                              std::int64_t most, bool from_right) {
  budget.bytes(2 * text.size());
  if (!separator) {
    return from_right ? split_at_spaces_from_right(budget, text, most) : split_at_spaces(budget, text, most);
  }
  if (separator->empty()) fail("empty separator");
  const std::string_view bytes = text.bytes();
  std::vector<std::size_t> cuts;
  if (from_right) {
    std::size_t end = bytes.size();
    while (most < 0 || static_cast<std::int64_t>(cuts.size()) < most) {
      budget.items(1);
      budget.bytes(end);
      const std::size_t cut = find_last_text(bytes.substr(0, end), *separator);
      if (cut == bytes.npos) break;
      cuts.push_back(cut);
      end = cut;
    }
    std::reverse(cuts.begin(), cuts.end());
  } else {
    std::size_t at = 0;
    while (most < 0 || static_cast<std::int64_t>(cuts.size()) < most) {
      budget.items(1);
      const std::size_t cut = find_text(bytes, *separator, at);
      if (cut == bytes.npos) break;
      cuts.push_back(cut);
      at = cut + separator->size();
    }
  }
  std::vector<MarkedText> parts;
  std::size_t begin = 0;
  for (const std::size_t cut : cuts) {
    parts.push_back(text.slice(begin, cut));
    begin = cut + separator->size();
  }
  parts.push_back(text.slice(begin, text.size()));
  return parts;
}

std::vector<MarkedText> split_lines(Budget& budget, const MarkedText& text) {
  budget.bytes(text.size());
  std::vector<MarkedText> lines;
  const std::string_view bytes = text.bytes();
  std::size_t begin = 0;
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Char next = first_char(bytes.substr(at));
    const std::size_t end = at;
    at += next.length;
    if (!ends_line(next.code)) continue;
    if (next.code == '\r' && at < bytes.size() && bytes[at] == '\n') ++at;
    budget.items(1);
    lines.push_back(text.slice(begin, end));
    begin = at;
  }
  if (begin < bytes.size()) lines.push_back(text.slice(begin, bytes.size()));
  return lines;
}

MarkedText replaced(Budget& budget, const MarkedText& text, std::string_view wanted, const MarkedText& other,
                    std::int64_t most) {
  budget.bytes(2 * text.size());
  const std::string_view bytes = text.bytes();
  MarkedText result;
  std::size_t begin = 0;
  for (std::int64_t count = 0; most < 0 || count < most; ++count) {
    // An empty text stands before every character and at the end.
    const std::size_t from = wanted.empty() && count > 0
                                 ? (begin < bytes.size() ? begin + first_char(bytes.substr(begin)).length : bytes.npos)
                                 : begin;
    const std::size_t found = find_text(bytes, wanted, from);
    if (found == bytes.npos) break;
    budget.step();
    budget.bytes(other.size());
    result.append(text, begin, found);
    result.append(other);
    begin = found + wanted.size();
  }
  result.append(text, begin, text.size());
  return result;
}

MarkedText cased(Budget& budget, const MarkedText& text, Casing casing) {
  budget.bytes(4 * text.size());
  MarkedText result;
  bool begins = true;  // a word
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char next = first_char(text.bytes().substr(at));
    const bool raises = casing == Casing::upper || (casing != Casing::lower && begins);
    std::string character;
    if (raises && next.code == sharp_s) {
      append_utf8(character, U'S');
      append_utf8(character, casing == Casing::upper ? U'S' : U's');
    } else {
      append_utf8(character, raises ? upper(next.code) : lower(next.code));
    }
    result.append(character, text.trusted_at(at));
    at += next.length;
    if (casing == Casing::title) {
      begins = !is_cased(next.code);
    } else if (casing == Casing::words) {
      constexpr std::u32string_view openers = U"-({[<";
      begins = is_space(next.code) || openers.find(next.code) != openers.npos;
    } else {
      begins = false;
    }
  }
  return result;
}

}  // namespace precis::jinja
