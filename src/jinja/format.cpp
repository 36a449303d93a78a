#include "jinja/format.h"

#include <utf8proc.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "jinja/callable.h"
#include "jinja/operators.h"
#include "jinja/white_space.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

constexpr std::int64_t widest = 1000;  // of padding and indents

// str.isprintable() of a character that is no space.
bool is_printable(char32_t code) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return code == ' ';
    default:
      return true;
  }
}

std::string escaped_code(char32_t code) {
  const auto number = static_cast<std::uint32_t>(code);
  if (code <= 0xFF) return fmt::format("\\x{:02x}", number);
  return code <= 0xFFFF ? fmt::format("\\u{:04x}", number) : fmt::format("\\U{:08x}", number);
}

// A value's text with each character replaced where `escape` gives something.
template <typename Escape>
void append_escaped(Budget& budget, MarkedText& out, const MarkedText& text, Escape&& escape) {
  budget.bytes(2 * text.size());
  const std::string_view bytes = text.bytes();
  std::size_t plain = 0;
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Char next = first_char(bytes.substr(at));
    const std::string other = escape(next.code);
    if (!other.empty()) {
      out.append(text, plain, at);
      out.append(other, text.trusted_at(at));
      plain = at + next.length;
    }
    at += next.length;
  }
  out.append(text, plain, bytes.size());
}

class Printer {
 public:
  Printer(Budget& budget, MarkedText& out) : budget_(budget), out_(out) {}

  void show(const Value& value);

 private:
  void put(std::string_view text) { out_.append(text, true); }
  void show_text(const MarkedText& text);
  void show_list(const List& list);
  void show_dict(const Dict& dict);

  Budget& budget_;
  MarkedText& out_;
};

// repr(): between the quotes that need fewer escapes.
void Printer::show_text(const MarkedText& text) {
  const std::string_view bytes = text.bytes();
  const char quote = bytes.find('\'') != bytes.npos && bytes.find('"') == bytes.npos ? '"' : '\'';
  put({&quote, 1});
  append_escaped(budget_, out_, text, [&](char32_t code) -> std::string {
    if (code == static_cast<char32_t>(quote) || code == '\\') return {'\\', static_cast<char>(code)};
    if (code == '\n') return "\\n";
    if (code == '\r') return "\\r";
    if (code == '\t') return "\\t";
    return is_printable(code) ? "" : escaped_code(code);
  });
  put({&quote, 1});
}

void Printer::show_list(const List& list) {
  if (list.kind > List::Kind::tuple)
    fail("a {} cannot be printed, make it a list", type_name(make_list({}, list.kind)));
  const bool tuple = list.kind == List::Kind::tuple;
  put(tuple ? "(" : "[");
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) put(", ");
    show(list.items[i]);
  }
  if (tuple && list.items.size() == 1) put(",");
  put(tuple ? ")" : "]");
}

void Printer::show_dict(const Dict& dict) {
  put("{");
  for (std::size_t i = 0; i < dict.entries.size(); ++i) {
    if (i > 0) put(", ");
    show(dict.entries[i].first);
    put(": ");
    show(dict.entries[i].second);
  }
  put("}");
}

void Printer::show(const Value& value) {
  budget_.step();
  budget_.bytes(8);
  if (value.is_text()) {
    show_text(value.text());
  } else if (value.is_list()) {
    show_list(value.list());
  } else if (value.is_dict()) {
    show_dict(value.dict());
  } else if (value.is_undefined()) {
    put("Undefined");
  } else {
    out_.append(printed(budget_, value));
  }
}

class JsonWriter {
 public:
  JsonWriter(Budget& budget, const JsonStyle& style) : budget_(budget), style_(style) {}

  void write(const Value& value);
  MarkedText take() { return std::move(out_); }

 private:
  void put(std::string_view text) { out_.append(text, false); }
  void write_text(const MarkedText& text);
  void write_key(const Value& key);
  void write_list(const List& list);
  void write_dict(const Dict& dict);
  void new_line(std::int64_t levels);
  std::string escaped(char32_t code) const;

  Budget& budget_;
  const JsonStyle& style_;
  MarkedText out_;
  std::int64_t level_ = 0;
};

std::string JsonWriter::escaped(char32_t code) const {
  constexpr std::u32string_view plain = U"\"\\\n\r\t\b\f";
  constexpr std::string_view letters = "\"\\nrtbf";
  if (const std::size_t at = plain.find(code); at != plain.npos) return {'\\', letters[at]};
  if (code >= 0x20 && (code < 0x7F || !style_.ensure_ascii)) return "";
  const auto number = static_cast<std::uint32_t>(code);
  if (code <= 0xFFFF) return fmt::format("\\u{:04x}", number);
  return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((number - 0x10000) >> 10), 0xDC00 + (number & 0x3FF));
}

void JsonWriter::write_text(const MarkedText& text) {
  put("\"");
  append_escaped(budget_, out_, text, [&](char32_t code) { return escaped(code); });
  put("\"");
}

void JsonWriter::new_line(std::int64_t levels) {
  if (!style_.indent) return;
  level_ += levels;
  const auto width = static_cast<std::size_t>(std::max<std::int64_t>(0, *style_.indent * level_));
  budget_.bytes(width);
  put("\n");
  put(std::string(width, ' '));
}

void JsonWriter::write_list(const List& list) {
  if (list.kind > List::Kind::tuple) fail("a {} has no JSON", type_name(make_list({}, list.kind)));
  put("[");
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) put(style_.item_separator);
    new_line(i == 0 ? 1 : 0);
    write(list.items[i]);
  }
  if (!list.items.empty()) new_line(-1);
  put("]");
}

void JsonWriter::write_key(const Value& key) {
  if (key.is_text()) return write_text(key.text());
  if (key.is_list()) fail("a {} is no key in JSON", type_name(key));
  put("\"");
  write(key);
  put("\"");
}

void JsonWriter::write_dict(const Dict& dict) {
  std::vector<const std::pair<Value, Value>*> entries;
  budget_.items(dict.entries.size());
  for (const auto& entry : dict.entries) entries.push_back(&entry);
  if (style_.sort_keys) {
    std::stable_sort(entries.begin(), entries.end(),
                     [&](const auto* a, const auto* b) { return less(budget_, a->first, b->first); });
  }
  put("{");
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) put(style_.item_separator);
    new_line(i == 0 ? 1 : 0);
    write_key(entries[i]->first);
    put(style_.key_separator);
    write(entries[i]->second);
  }
  if (!entries.empty()) new_line(-1);
  put("}");
}

void JsonWriter::write(const Value& value) {
  budget_.step();
  budget_.bytes(8 + style_.item_separator.size() + style_.key_separator.size());
  if (value.is_text()) {
    write_text(value.text());
  } else if (value.is_none()) {
    put("null");
  } else if (value.is_bool()) {
    put(value.boolean() ? "true" : "false");
  } else if (value.is_int()) {
    put(std::to_string(value.integer()));
  } else if (value.is_float()) {
    const double number = value.number();
    put(std::isnan(number)   ? "NaN"
        : std::isinf(number) ? (number < 0 ? "-Infinity" : "Infinity")
                             : shown_float(number));
  } else if (value.is_list()) {
    write_list(value.list());
  } else if (value.is_dict()) {
    write_dict(value.dict());
  } else {
    require_defined(value);
    fail("a value of type {} has no JSON", type_name(value));
  }
}

// One %-field: its flags, width, precision and letter.
struct Field {
  bool left = false, zeros = false, plus = false;
  std::int64_t width = 0;
  std::optional<std::int64_t> precision;
  char letter = '\0';
};

std::int64_t take_count(std::string_view& rest) {
  std::int64_t count = 0;
  while (!rest.empty() && rest[0] >= '0' && rest[0] <= '9' && count <= widest) {
    count = count * 10 + (rest[0] - '0');
    rest.remove_prefix(1);
  }
  if (count > widest) fail("a width or precision in a format is larger than {}", widest);
  return count;
}

Field take_field(std::string_view& rest) {
  Field field;
  for (; !rest.empty(); rest.remove_prefix(1)) {
    if (rest[0] == '-') {
      field.left = true;
    } else if (rest[0] == '0') {
      field.zeros = true;
    } else if (rest[0] == '+') {
      field.plus = true;
    } else {
      break;
    }
  }
  field.width = take_count(rest);
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    field.precision = take_count(rest);
  }
  if (rest.empty()) fail("incomplete format");
  field.letter = rest[0];
  rest.remove_prefix(1);
  return field;
}

MarkedText number_field(const Field& field, const Value& value) {
  if (!value.is_number()) {
    require_defined(value);
    fail("%{} format: a number is required, not {}", field.letter, type_name(value));
  }
  std::string text;
  if (field.letter == 'f') {
    text = fmt::format("{:.{}f}", value.number(), field.precision.value_or(6));
  } else {
    if (value.is_float() && !(std::abs(value.number()) < 9e18)) fail("{} is no integer of 64 bits", value.number());
    text = std::to_string(value.is_float() ? static_cast<std::int64_t>(value.number()) : value.integer());
  }
  if (field.plus && text[0] != '-') text.insert(text.begin(), '+');
  const auto width = static_cast<std::size_t>(field.width);
  if (field.zeros && !field.left && text.size() < width) {
    text.insert(text[0] == '-' || text[0] == '+' ? 1 : 0, width - text.size(), '0');
  }
  return MarkedText(text, true);
}

MarkedText text_field(Budget& budget, const Field& field, const Value& value) {
  MarkedText text;
  if (field.letter == 'r') {
    Printer(budget, text).show(value);
  } else {
    text = printed(budget, value);
  }
  if (!field.precision) return text;
  return slice_of(budget, text, None{}, *field.precision, None{}).text();
}

}  // namespace

std::string shown_float(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

MarkedText printed(Budget& budget, const Value& value) {
  if (value.is_undefined()) return {};
  if (value.is_none()) return MarkedText("None", true);
  if (value.is_bool()) return MarkedText(value.boolean() ? "True" : "False", true);
  if (value.is_int()) return MarkedText(std::to_string(value.integer()), true);
  if (value.is_float()) return MarkedText(shown_float(value.number()), true);
  if (value.is_text()) {
    budget.bytes(value.text().size());
    return value.text();
  }
  if (!value.is_list() && !value.is_dict()) fail("a {} cannot be printed", type_name(value));
  MarkedText out;
  Printer(budget, out).show(value);
  return out;
}

MarkedText to_json(Budget& budget, const Value& value, const JsonStyle& style) {
  if (style.indent && *style.indent > widest)
    fail("tojson: an indent of {}, at most {} expected", *style.indent, widest);
  JsonWriter writer(budget, style);
  writer.write(value);
  return writer.take();
}

Value percent_format(Budget& budget, const MarkedText& format, const std::vector<Value>& values) {
  MarkedText out;
  std::string_view rest = format.bytes();
  std::size_t used = 0;
  while (!rest.empty()) {
    const std::size_t at = format.size() - rest.size();
    const std::size_t plain = std::min(rest.find('%'), rest.size());
    budget.bytes(plain);
    out.append(format, at, at + plain);
    rest.remove_prefix(plain);
    if (rest.empty()) break;
    rest.remove_prefix(1);
    const Field field = take_field(rest);
    budget.step();
    budget.bytes(static_cast<std::size_t>(field.width + field.precision.value_or(0)));
    if (field.letter == '%') {
      out.append("%", true);
      continue;
    }
    if (std::string_view("srdif").find(field.letter) == std::string_view::npos) {
      fail("the format %{} is not known here", field.letter);
    }
    if (used >= values.size()) fail("not enough arguments for format string");
    const Value& value = values[used++];
    const bool text = field.letter == 's' || field.letter == 'r';
    const MarkedText shown = text ? text_field(budget, field, value) : number_field(field, value);
    const auto length = static_cast<std::int64_t>(length_of(budget, shown));
    const std::string padding(static_cast<std::size_t>(std::max<std::int64_t>(0, field.width - length)), ' ');
    if (!field.left) out.append(padding, true);
    out.append(shown);
    if (field.left) out.append(padding, true);
  }
  // What could be looked into by a name, %(name)s, need not be used.
  const bool named = values.size() == 1 && (values[0].is_dict() || values[0].is_list() || values[0].is_undefined());
  if (used < values.size() && !named) {
    fail("not all arguments converted during string formatting");
  }
  return out;
}

}  // namespace precis::jinja
