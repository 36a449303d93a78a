#include "jinja/lexer.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "jinja/string_literal.h"
#include "jinja/white_space.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_name_part(char c) {
  return is_name_start(c) || is_digit(c);
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// Line ends as \n, without the last one.
std::string with_plain_lines(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      text += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      text += source[i];
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)), rest_(source_) {}

  std::vector<Token> run();

 private:
  using Kind = Token::Kind;

  bool at(std::string_view text) const { return rest_.substr(at_).starts_with(text); }
  char here(std::size_t ahead = 0) const { return at_ + ahead < rest_.size() ? rest_[at_ + ahead] : '\0'; }
  std::size_t past_spaces(std::size_t from) const;
  void move_to(std::size_t position);
  void add(Kind kind, std::string text, std::size_t to);
  [[noreturn]] void refuse(std::string_view what) const { fail("line {}: {}", line_, what); }

  char take_modifier();
  void add_data(std::size_t tag, char modifier, bool strips_line);
  void end_tag(std::size_t length, bool strips, bool cuts_line_feed);
  bool lex_raw();
  void lex_comment();
  void lex_tag(Kind begin, Kind end, std::string_view closer);
  bool lex_tag_end(Kind end, std::string_view closer);
  void lex_token();
  void lex_number();
  void lex_string();
  void lex_sign();

  std::string source_;
  std::string_view rest_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // what came before ends with a line feed
  std::string brackets_;       // that are open
  std::vector<Token> tokens_;
};

std::size_t Lexer::past_spaces(std::size_t from) const {
  return from + leading_space(rest_.substr(std::min(from, rest_.size())));
}

void Lexer::move_to(std::size_t position) {
  line_ += static_cast<int>(std::count(rest_.begin() + static_cast<std::ptrdiff_t>(at_),
                                       rest_.begin() + static_cast<std::ptrdiff_t>(position), '\n'));
  at_ = position;
}

void Lexer::add(Kind kind, std::string text, std::size_t to) {
  tokens_.push_back({kind, line_, std::move(text)});
  move_to(to);
}

char Lexer::take_modifier() {
  const char c = here();
  if (c != '-' && c != '+') return '\0';
  ++at_;
  return c;
}

// The text up to the tag at `tag`, in front of which `modifier` stands.
void Lexer::add_data(std::size_t tag, char modifier, bool strips_line) {
  std::string_view data = rest_.substr(at_, tag - at_);
  if (modifier == '-') {
    data.remove_suffix(trailing_space(data));
  } else if (modifier != '+' && strips_line) {
    const std::size_t feed = data.rfind('\n');
    const std::size_t begin = feed == data.npos ? 0 : feed + 1;
    if ((begin > 0 || line_starting_) && leading_space(data.substr(begin)) == data.size() - begin) {
      data = data.substr(0, begin);
    }
  }
  if (!data.empty()) tokens_.push_back({Kind::data, line_, std::string(data)});
  move_to(tag);
}

// Passes the end of a tag: `length` bytes, then all white space or one line feed.
void Lexer::end_tag(std::size_t length, bool strips, bool cuts_line_feed) {
  std::size_t end = at_ + length;
  if (strips) {
    end = past_spaces(end);
  } else if (cuts_line_feed && end < rest_.size() && rest_[end] == '\n') {
    ++end;
  }
  line_starting_ = rest_[end - 1] == '\n';
  move_to(end);
}

// {% raw %}...{% endraw %}: text as it is.
bool Lexer::lex_raw() {
  std::size_t name = at_ + 2;
  if (name < rest_.size() && (rest_[name] == '-' || rest_[name] == '+')) ++name;
  name = past_spaces(name);
  if (!rest_.substr(name).starts_with("raw")) return false;
  const std::size_t closer = past_spaces(name + 3);
  const bool strips = rest_.substr(closer).starts_with("-%}");
  if (!strips && !rest_.substr(closer).starts_with("%}")) return false;
  move_to(closer);
  end_tag(strips ? 3 : 2, strips, false);
  if (at_ == rest_.size()) return true;
  for (std::size_t tag = rest_.find("{%", at_); tag != rest_.npos; tag = rest_.find("{%", tag + 1)) {
    std::size_t end = tag + 2;
    char sign = '\0';
    if (end < rest_.size() && (rest_[end] == '-' || rest_[end] == '+')) sign = rest_[end++];
    end = past_spaces(end);
    if (!rest_.substr(end).starts_with("endraw")) continue;
    end = past_spaces(end + 6);
    const char last = end < rest_.size() ? rest_[end] : '\0';
    const std::size_t mark = last == '-' || last == '+' ? 1 : 0;
    if (!rest_.substr(std::min(end + mark, rest_.size())).starts_with("%}")) continue;
    add_data(tag, sign, true);
    move_to(end);
    end_tag(mark + 2, last == '-', last != '+');
    return true;
  }
  refuse("{% raw %} without its end, {% endraw %}");
}

void Lexer::lex_comment() {
  const std::size_t close = rest_.find("#}", at_);
  if (close == rest_.npos) refuse("a comment without its end, #}");
  const char last = close > at_ ? rest_[close - 1] : '\0';
  move_to(close);
  end_tag(2, last == '-', last != '+');
}

bool Lexer::lex_tag_end(Kind end, std::string_view closer) {
  if (!brackets_.empty()) return false;
  const bool block = end == Kind::block_end;
  const char mark = here();
  const bool marked = (mark == '-' || (block && mark == '+')) && rest_.substr(at_ + 1).starts_with(closer);
  if (!marked && !at(closer)) return false;
  tokens_.push_back({end, line_, ""});
  end_tag(marked ? 3 : 2, marked && mark == '-', block && !marked);
  return true;
}

void Lexer::lex_tag(Kind begin, Kind end, std::string_view closer) {
  tokens_.push_back({begin, line_, ""});
  line_starting_ = false;
  for (;;) {
    move_to(past_spaces(at_));
    if (lex_tag_end(end, closer)) return;
    if (at_ >= rest_.size()) refuse(fmt::format("a tag without its end, {}", closer));
    lex_token();
  }
}

void Lexer::lex_token() {
  const char c = here();
  if (is_digit(c)) return lex_number();
  if (c == '\'' || c == '"') return lex_string();
  if (!is_name_start(c)) return lex_sign();
  std::size_t end = at_;
  while (end < rest_.size() && is_name_part(rest_[end])) ++end;
  add(Kind::name, std::string(rest_.substr(at_, end - at_)), end);
}

// Underscores may stand between digits.
void Lexer::lex_number() {
  const auto past_digits = [&](std::size_t from, auto&& is_one) {
    std::size_t end = from;
    while (end < rest_.size() && (is_one(rest_[end]) || (end > from && rest_[end] == '_' && end + 1 < rest_.size() &&
                                                         is_one(rest_[end + 1])))) {
      ++end;
    }
    return end;
  };
  std::size_t end = 0;
  Kind kind = Kind::integer;
  const char base = static_cast<char>(here(1) | 0x20);
  if (here() == '0' && (base == 'x' || base == 'o' || base == 'b')) {
    const std::size_t begin = at_ + (here(2) == '_' ? 3 : 2);
    end = past_digits(begin, is_hex);
    if (end == begin) refuse("a number without digits");
  } else {
    end = past_digits(at_, is_digit);
    const auto digit_at = [&](std::size_t i) { return i < rest_.size() && is_digit(rest_[i]); };
    const bool after_point = at_ > 0 && rest_[at_ - 1] == '.';
    if (!after_point && end < rest_.size() && rest_[end] == '.' && digit_at(end + 1)) {
      kind = Kind::number;
      end = past_digits(end + 1, is_digit);
    }
    if (!after_point && end < rest_.size() && (rest_[end] | 0x20) == 'e') {
      const std::size_t sign = end + 1 < rest_.size() && (rest_[end + 1] == '+' || rest_[end + 1] == '-') ? 1 : 0;
      if (digit_at(end + 1 + sign)) {
        kind = Kind::number;
        end = past_digits(end + 1 + sign, is_digit);
      }
    }
  }
  std::string digits(rest_.substr(at_, end - at_));
  std::erase(digits, '_');
  add(kind, std::move(digits), end);
}

void Lexer::lex_string() {
  const char quote = here();
  std::size_t end = at_ + 1;
  while (end < rest_.size() && rest_[end] != quote) end += rest_[end] == '\\' ? 2 : 1;
  if (end >= rest_.size()) refuse("a string without its end");
  const std::string_view inside = rest_.substr(at_ + 1, end - at_ - 1);
  std::string value;
  try {
    value = string_literal(inside);
  } catch (const Error& error) {
    refuse(error.what());
  }
  add(Kind::string, std::move(value), end + 1);
}

void Lexer::lex_sign() {
  constexpr std::array<std::string_view, 6> pairs = {"//", "**", "==", "!=", ">=", "<="};
  constexpr std::string_view singles = "+-/*%~[](){}><=.:|,;";
  std::string text;
  for (const std::string_view pair : pairs) {
    if (at(pair)) text = pair;
  }
  if (text.empty() && singles.find(here()) != singles.npos) text = here();
  if (text.empty()) {
    const std::size_t length = first_char(rest_.substr(at_)).length;
    refuse(fmt::format("unexpected character {}", in_quotes(rest_.substr(at_, length))));
  }
  const char c = text[0];
  if (c == '(' || c == '[' || c == '{') brackets_ += c == '(' ? ')' : static_cast<char>(c + 2);
  if (c == ')' || c == ']' || c == '}') {
    if (brackets_.empty() || brackets_.back() != c) refuse(fmt::format("unexpected '{}'", c));
    brackets_.pop_back();
  }
  const std::size_t end = at_ + text.size();
  add(Kind::sign, std::move(text), end);
}

std::vector<Token> Lexer::run() {
  for (;;) {
    std::size_t tag = at_;
    for (;; ++tag) {
      tag = rest_.find('{', tag);
      if (tag == rest_.npos || tag + 1 >= rest_.size()) {
        add_data(rest_.size(), '+', false);
        tokens_.push_back({Kind::end, line_, ""});
        return std::move(tokens_);
      }
      if (const char c = rest_[tag + 1]; c == '%' || c == '{' || c == '#') break;
    }
    const char type = rest_[tag + 1];
    const char modifier = tag + 2 < rest_.size() ? rest_[tag + 2] : '\0';
    add_data(tag, modifier, type != '{');
    if (type == '%' && lex_raw()) continue;
    at_ += 2;
    take_modifier();
    if (type == '#') {
      lex_comment();
    } else if (type == '%') {
      lex_tag(Kind::block_begin, Kind::block_end, "%}");
    } else {
      lex_tag(Kind::output_begin, Kind::output_end, "}}");
    }
  }
}

}  // namespace

std::vector<Token> lex(std::string_view source) {
  return Lexer(with_plain_lines(source)).run();
}

}  // namespace precis::jinja
