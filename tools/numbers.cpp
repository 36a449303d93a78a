#include "numbers.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>

namespace precis {

namespace {

constexpr std::int64_t kMaxId = std::numeric_limits<std::int32_t>::max();

[[noreturn]] void refuse(std::string_view flag, std::string_view text, std::string_view expected) {
  throw std::runtime_error(fmt::format("{}: {} given, {} expected", flag, shown_text(text), expected));
}

// The number of bits that a suffix shifts by: k, M, G, T, perhaps followed by "B" or "iB". Nothing: not a suffix.
std::optional<int> suffix_shift(std::string_view suffix) {
  if (suffix.empty() || suffix == "B") return 0;
  int shift = 0;
  switch (suffix.front()) {
    case 'k':
    case 'K':
      shift = 10;
      break;
    case 'm':
    case 'M':
      shift = 20;
      break;
    case 'g':
    case 'G':
      shift = 30;
      break;
    case 't':
    case 'T':
      shift = 40;
      break;
    default:
      return std::nullopt;
  }
  suffix.remove_prefix(1);
  if (suffix.empty() || suffix == "B" || suffix == "iB") return shift;
  return std::nullopt;
}

std::string shown_range(std::int64_t low, std::int64_t high) {
  if (high == std::numeric_limits<std::int64_t>::max()) return fmt::format("a whole number of at least {}", low);
  return fmt::format("a whole number from {} to {}", low, high);
}

}  // namespace

std::int64_t parse_count(std::string_view flag, std::string_view text, std::int64_t low, std::int64_t high) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc()) refuse(flag, text, shown_range(low, high));
  const std::string_view suffix(rest, static_cast<std::size_t>(end - rest));
  const std::optional<int> shift = suffix == "B" ? std::nullopt : suffix_shift(suffix);
  if (!shift || __builtin_mul_overflow(value, std::int64_t{1} << *shift, &value) || value < low || value > high) {
    refuse(flag, text, shown_range(low, high));
  }
  return value;
}

std::vector<std::int64_t> parse_counts(std::string_view flag, std::string_view text, std::int64_t low,
                                       std::int64_t high) {
  std::vector<std::int64_t> counts;
  for (std::size_t begin = 0;;) {
    const std::size_t end = text.find(',', begin);
    const std::string_view part = text.substr(begin, end - begin);
    if (part.empty()) refuse(flag, text, "whole numbers such as 0,4096,16k");
    counts.push_back(parse_count(flag, part, low, high));
    if (end == std::string_view::npos) return counts;
    begin = end + 1;
  }
}

std::int64_t parse_bytes(std::string_view flag, std::string_view text) {
  constexpr std::string_view expected = "a number of bytes such as 4096, 512M or 8G";
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc()) refuse(flag, text, expected);
  const std::optional<int> shift = suffix_shift({rest, static_cast<std::size_t>(end - rest)});
  if (!shift || !(value >= 0)) refuse(flag, text, expected);
  const double bytes = std::ldexp(value, *shift);
  if (!(bytes < 0x1p62)) refuse(flag, text, expected);
  return static_cast<std::int64_t>(bytes);
}

double parse_number(std::string_view flag, std::string_view text, double low, double high) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  const bool inside = value >= low && value <= high && std::isfinite(value);
  if (error != std::errc() || rest != end || !inside) {
    const std::string expected = std::isinf(high) ? fmt::format("a number of at least {:g}", low)
                                                  : fmt::format("a number from {:g} to {:g}", low, high);
    refuse(flag, text, expected);
  }
  return value;
}

std::vector<std::int32_t> parse_ids(std::string_view flag, std::string_view text) {
  constexpr std::string_view separators = ", \t\r\n";
  std::vector<std::int32_t> ids;
  std::string_view rest = text;
  const std::size_t first = rest.find_first_not_of(separators);
  if (first != std::string_view::npos && rest[first] == '[') {
    const std::size_t last = rest.find_last_not_of(separators);
    if (rest[last] != ']') refuse(flag, text, "ids such as 1,2,3");
    rest = rest.substr(first + 1, last - first - 1);
  }
  while (true) {
    const std::size_t begin = rest.find_first_not_of(separators);
    if (begin == std::string_view::npos) return ids;
    rest.remove_prefix(begin);
    const std::string_view word = rest.substr(0, rest.find_first_of(separators));
    ids.push_back(static_cast<std::int32_t>(parse_count(flag, word, 0, kMaxId)));
    rest.remove_prefix(word.size());
  }
}

std::pair<std::int32_t, float> parse_bias(std::string_view flag, std::string_view text) {
  const std::size_t split = text.find_first_of("=+-");
  if (split == 0 || split == std::string_view::npos) refuse(flag, text, "ID=VALUE");
  const auto id = static_cast<std::int32_t>(parse_count(flag, text.substr(0, split), 0, kMaxId));
  std::string_view value = text.substr(split + (text[split] == '-' ? 0 : 1));
  if (text[split] == '=' && value.starts_with('+')) value.remove_prefix(1);
  return {id, static_cast<float>(parse_number(flag, value, -1e6, 1e6))};
}

std::string shown_tokens(std::int64_t tokens) {
  constexpr std::int64_t step = 1024;
  std::string suffix;
  for (const char* larger : {"k", "M", "G"}) {
    if (tokens < step || tokens % step != 0) break;
    tokens /= step;
    suffix = larger;
  }
  return fmt::format("{}{}", tokens, suffix);
}

std::string shown_text(std::string_view text, std::size_t columns) {
  std::string line = "'";
  std::size_t shown = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool continuation = (byte & 0xC0) == 0x80;
    if (!continuation && shown++ == columns) {
      line += "...";
      break;
    }
    if (c == '\n') {
      line += "\\n";
    } else if (byte < 0x20 || byte == 0x7F) {
      line += fmt::format("\\x{:02x}", byte);
    } else {
      line += c;
    }
  }
  return line + "'";
}

}  // namespace precis
