#include "text/tokenizer_config.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/json.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

namespace precis {
namespace {

constexpr std::int64_t longest_template = 4 << 20;
constexpr std::int64_t longest_config = 64 << 20;

std::optional<bool> boolean(const JsonView& json, std::string_view key) {
  const auto found = json.find(key);
  if (!found) return std::nullopt;
  return found->boolean();
}

// A token is written as its text or as an object that holds it.
std::optional<std::string> token(const JsonView& json, std::string_view key) {
  const auto found = json.find(key);
  if (!found) return std::nullopt;
  return found->is_object() ? found->at("content").string() : found->string();
}

std::optional<std::string> template_in(const JsonView& json) {
  const auto found = json.find("chat_template");
  if (!found) return std::nullopt;
  if (!found->is_array()) return found->string();
  for (std::size_t i = 0; i < found->size(); ++i) {
    const JsonView choice = (*found)[i];
    if (choice.at("name").string() == "default") return choice.at("template").string();
  }
  return std::nullopt;
}

std::vector<AddedToken> added_tokens_in(const JsonView& json) {
  std::vector<AddedToken> tokens;
  const auto decoder = json.find("added_tokens_decoder");
  if (!decoder) return tokens;
  for (const std::string& key : decoder->keys()) {
    std::int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id > greatest_token_id ||
        key != std::to_string(id)) {
      fail("{}: expected ids from 0 to {}, found {}", decoder->place(), greatest_token_id, in_quotes(key));
    }
    tokens.push_back(read_added_token(decoder->at(key), id));
  }
  std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return tokens;
}

}  // namespace

AddedToken read_added_token(const JsonView& json, std::int32_t id) {
  AddedToken token;
  token.id = id;
  token.content = json.at("content").string();
  if (token.content.empty()) json.at("content").refuse("expected a text that is not empty");
  token.special = boolean(json, "special").value_or(false);
  token.single_word = boolean(json, "single_word").value_or(false);
  token.lstrip = boolean(json, "lstrip").value_or(false);
  token.rstrip = boolean(json, "rstrip").value_or(false);
  token.normalized = boolean(json, "normalized").value_or(!token.special);
  return token;
}

TokenizerConfig read_tokenizer_config(const Folder& folder) {
  TokenizerConfig config;
  config.place = folder.at("tokenizer_config.json").string();
  if (folder.has("tokenizer_config.json")) {
    const JsonView json = JsonView::read(folder.at("tokenizer_config.json"), longest_config);
    config.bos_token = token(json, "bos_token");
    config.eos_token = token(json, "eos_token");
    config.unk_token = token(json, "unk_token");
    config.add_bos_token = boolean(json, "add_bos_token");
    config.add_eos_token = boolean(json, "add_eos_token");
    config.legacy = boolean(json, "legacy");
    config.added_tokens = added_tokens_in(json);
    config.chat_template = template_in(json);
    config.chat_template_place = config.place + ": chat_template";
  }
  if (folder.has("chat_template.jinja")) {
    config.chat_template_place = folder.at("chat_template.jinja").string();
    config.chat_template = read_text(config.chat_template_place, longest_template);
  }
  return config;
}

}  // namespace precis
