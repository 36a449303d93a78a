#include "needle_text.h"

#include <algorithm>
#include <array>

namespace precis {

namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_capital(char c) {
  return c >= 'A' && c <= 'Z';
}

// "Mr.", "St.", "J.": the point at `at` ends no sentence.
bool is_abbreviation(std::string_view text, std::size_t at) {
  constexpr std::array<std::string_view, 8> known = {"Mr", "Mrs", "Ms", "Dr", "St", "Jr", "Sr", "Messrs"};
  std::size_t begin = at;
  while (begin > 0 && is_letter(text[begin - 1])) --begin;
  const std::string_view word = text.substr(begin, at - begin);
  if (text[at] != '.') return false;
  return (word.size() == 1 && is_capital(word[0])) || std::find(known.begin(), known.end(), word) != known.end();
}

// The white space that begins at `space` stands behind a sentence: after . ! ? and what closes quotes and brackets.
bool ends_sentence(std::string_view text, std::size_t space) {
  std::size_t at = space;
  while (at > 0 && (text[at - 1] == '"' || text[at - 1] == '\'' || text[at - 1] == ')' || text[at - 1] == ']')) --at;
  if (at == 0) return false;
  const char mark = text[at - 1];
  return (mark == '.' || mark == '!' || mark == '?') && !is_abbreviation(text, at - 1);
}

// A piece ends with a sentence, or where a blank line follows, as behind a heading; not where a line is merely broken.
std::vector<std::size_t> piece_ends(std::string_view text) {
  std::vector<std::size_t> ends;
  for (std::size_t at = 0; at < text.size();) {
    if (!is_space(text[at])) {
      ++at;
      continue;
    }
    const std::size_t space = at;
    while (at < text.size() && is_space(text[at])) ++at;
    const std::string_view gap = text.substr(space, at - space);
    const bool blank_line = std::count(gap.begin(), gap.end(), '\n') > 1;
    if (space > 0 && (blank_line || ends_sentence(text, space))) ends.push_back(at);
  }
  if (!text.empty() && (ends.empty() || ends.back() < text.size())) ends.push_back(text.size());
  return ends;
}

// Takes the white space off the end and gives it.
std::string take_space(std::string& text) {
  std::size_t end = text.size();
  while (end > 0 && is_space(text[end - 1])) --end;
  std::string space = text.substr(end);
  text.resize(end);
  return space;
}

}  // namespace

NeedleText::NeedleText(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    std::string body = text.substr(text.starts_with("\xEF\xBB\xBF") ? 3 : 0);
    take_space(body);
    if (!body.empty()) text_ += body + "\n\n";
  }
  ends_ = piece_ends(text_);
}

std::string_view NeedleText::piece(std::size_t index) const {
  const std::size_t at = index % ends_.size();
  const std::size_t begin = at == 0 ? 0 : ends_[at - 1];
  return std::string_view(text_).substr(begin, ends_[at] - begin);
}

std::size_t NeedleText::bytes(std::size_t first, std::size_t count) const {
  std::size_t sum = 0;
  for (std::size_t at = first; at < first + count; ++at) sum += piece(at).size();
  return sum;
}

std::string NeedleText::plant(std::size_t first, std::size_t count, std::vector<PlantedFact>& facts) const {
  std::vector<std::size_t> before = {0};  // bytes of text before each place
  for (std::size_t at = 0; at < count; ++at) before.push_back(before.back() + piece(first + at).size());
  const auto all = static_cast<double>(before.back());
  std::vector<std::vector<const Fact*>> places(count + 1);
  for (PlantedFact& planted : facts) {
    const double wanted = all * planted.asked_depth / 100;
    const auto above = std::lower_bound(before.begin(), before.end(), wanted, [](std::size_t bytes, double byte) {
      return static_cast<double>(bytes) < byte;
    });
    auto place = above == before.end() ? above - 1 : above;
    if (place != before.begin() && wanted - static_cast<double>(place[-1]) < static_cast<double>(*place) - wanted) {
      --place;
    }
    planted.depth = 100 * static_cast<double>(*place) / all;
    places[static_cast<std::size_t>(place - before.begin())].push_back(&planted.fact);
  }
  std::string text;
  for (std::size_t place = 0; place <= count; ++place) {
    if (!places[place].empty()) {
      const std::string space = take_space(text);
      for (const Fact* fact : places[place]) text += (text.empty() ? "" : "\n") + fact->sentence;
      text += space.find('\n') == std::string::npos ? "\n" : space;
    }
    if (place < count) text += piece(first + place);
  }
  take_space(text);
  return text;
}

std::size_t NeedleText::longest(std::size_t first, std::int64_t room,
                                const std::function<std::int64_t(std::size_t count)>& measure) const {
  std::size_t fits = 0;                 // so many do
  std::size_t too_many = pieces() + 1;  // so many do not, or are not there
  double bytes_per_token = 4;
  while (fits + 1 < too_many) {
    const auto wanted = static_cast<std::size_t>(static_cast<double>(room) * bytes_per_token);
    std::size_t count = 0;
    for (std::size_t sum = 0; count < too_many && sum <= wanted; ++count) sum += piece(first + count).size();
    count = std::clamp(count, fits + 1, too_many - 1);
    const std::int64_t measured = measure(count);
    (measured <= room ? fits : too_many) = count;
    bytes_per_token =
        static_cast<double>(bytes(first, count)) / static_cast<double>(std::max<std::int64_t>(measured, 1));
  }
  return fits;
}

}  // namespace precis
