#include "text/token_decoder.h"

#include <charconv>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/pattern.h"

namespace precis {
namespace {

std::string replaced(std::string_view text, std::string_view what, std::string_view with) {
  std::string out;
  std::size_t done = 0;
  for (std::size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, done)) {
    out += text.substr(done, at - done);
    out += with;
    done = at + what.size();
  }
  out += text.substr(done);
  return out;
}

}  // namespace

int byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  int byte = 0;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  return error == std::errc() && end == token.data() + 5 && byte >= 0 ? byte : -1;
}

void TokenDecoder::add(const JsonView& json) {
  const std::string& type = json.at("type").string();
  if (type == "Sequence") {
    const JsonView parts = json.at("decoders");
    for (std::size_t i = 0; i < parts.size(); ++i) add(parts[i]);
  } else if (type == "ByteLevel") {
    if (byte_fallback_ || !replacements_.empty()) json.refuse("expected ByteLevel alone");
    byte_level_ = true;
  } else if (byte_level_) {
    json.refuse("expected nothing after ByteLevel");
  } else if (type == "Replace") {
    Pattern pattern(json.at("pattern"));
    if (!pattern.is_literal()) json.at("pattern").refuse("expected {\"String\": ...}");
    if (byte_fallback_) json.refuse("expected Replace before ByteFallback");
    replacements_.emplace_back(pattern.literal(), json.at("content").string());
  } else if (type == "ByteFallback") {
    byte_fallback_ = true;
  } else if (type == "Metaspace") {
    replacements_.emplace_back(json.at("replacement").string(), " ");
    if (replacements_.back().first.empty()) json.at("replacement").refuse("expected one character");
    const auto scheme = json.find("prepend_scheme");
    const auto prefix = json.find("add_prefix_space");
    const bool prepends = scheme ? scheme->string() != "never" : !prefix || prefix->boolean();
    if (prepends) leading_ = Leading::all_stripped;
  } else if (type == "Strip") {
    add_strip(json);
  } else if (type != "Fuse") {
    json.at("type").refuse("expected ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip or Sequence");
  }
}

void TokenDecoder::add_strip(const JsonView& json) {
  if (json.at("content").string() != " ") json.at("content").refuse("expected a space");
  json.at("stop").integer(0, 0);
  if (json.at("start").integer(0, 1) == 1) leading_ = Leading::one_stripped;
}

std::string TokenDecoder::bytes(std::string_view token, bool first) const {
  if (byte_level_) return byte_level_bytes(token).value_or(std::string(token));
  std::string text(token);
  for (const auto& [what, with] : replacements_) text = replaced(text, what, with);
  if (byte_fallback_) {
    const int byte = byte_of_token(text);
    if (byte >= 0) text.assign(1, static_cast<char>(byte));
  }
  if (first && leading_ == Leading::one_stripped && text.starts_with(' ')) text.erase(0, 1);
  if (first && leading_ == Leading::all_stripped) text.erase(0, std::min(text.find_first_not_of(' '), text.size()));
  return text;
}

}  // namespace precis
