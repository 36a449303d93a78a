#include "text/utf8_stream.h"

#include "text/tokenizer.h"
#include "text/utf8.h"

namespace precis {

std::string Utf8Stream::push(std::int32_t id) {
  if (id < 0 || id >= tokenizer_.vocab_size()) return {};
  if (skip_special_ && tokenizer_.is_special(id)) return {};
  const std::string bytes = pending_ + tokenizer_.token_bytes(id, first_);
  first_ = false;
  pending_.clear();
  std::string text;
  text.reserve(bytes.size());
  for (std::string_view rest = bytes; !rest.empty();) {
    const Utf8Char c = first_char(rest);
    if (c.state == Utf8Char::State::incomplete) {
      pending_ = rest;
      break;
    }
    if (c.state == Utf8Char::State::valid) {
      text += rest.substr(0, c.length);
    } else {
      append_utf8(text, replacement_character);
    }
    rest.remove_prefix(c.length);
  }
  return text;
}

std::string Utf8Stream::finish() {
  if (pending_.empty()) return {};
  pending_.clear();
  std::string text;
  append_utf8(text, replacement_character);
  return text;
}

}  // namespace precis
