#include "chat_input.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace precis {

namespace {

constexpr std::string_view kQuotes = R"(""")";
constexpr std::string_view kBlank = " \t\r";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(kBlank), text.size());
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

// Letters to insert, take out or change to make one of the other (Levenshtein).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t corner = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t changed = corner + (a[i] == b[j] ? 0 : 1);
      corner = row[j + 1];
      row[j + 1] = std::min({changed, corner + 1, row[j] + 1});
    }
  }
  return row.back();
}

ChatInput command_of(std::string_view line) {
  const std::size_t end = std::min(line.find_first_of(kBlank), line.size());
  return {true, std::string(line.substr(1, end - 1)), std::string(trimmed(line.substr(end)))};
}

}  // namespace

std::optional<ChatInput> ChatLines::take(std::string_view line) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  if (!open_) {
    const std::string_view words = trimmed(line);
    if (words.empty()) return std::nullopt;
    if (words.starts_with("//")) return ChatInput{false, std::string(words.substr(1)), ""};
    if (words.starts_with('/')) return command_of(words);
    if (!words.starts_with(kQuotes)) return ChatInput{false, std::string(words), ""};
    open_ = true;
    line = words.substr(kQuotes.size());
    if (line.empty()) return std::nullopt;
  }
  const std::string_view words = line.substr(0, line.find_last_not_of(kBlank) + 1);
  const bool closes = words.ends_with(kQuotes);
  block_ += closes ? words.substr(0, words.size() - kQuotes.size()) : line;
  if (!closes) {
    block_ += '\n';
    return std::nullopt;
  }
  open_ = false;
  std::string text = std::exchange(block_, "");
  if (text.ends_with('\n')) text.pop_back();
  if (trimmed(text).empty()) return std::nullopt;
  return ChatInput{false, std::move(text), ""};
}

void ChatLines::drop() {
  open_ = false;
  block_.clear();
}

std::vector<std::string> nearest_names(std::string_view typed, const std::vector<std::string>& names) {
  constexpr std::size_t far = 3;
  const auto rank = [&](const std::string& name) {
    if (!typed.empty() && name.starts_with(typed)) return std::size_t{0};
    return std::min(distance(typed, name), far);
  };
  std::vector<std::string> near;
  std::ranges::copy_if(names, std::back_inserter(near), [&](const auto& name) { return rank(name) < far; });
  std::ranges::stable_sort(near, {}, rank);
  return near;
}

}  // namespace precis
