// What tokenizer_config.json and chat_template.jinja say beside the vocabulary.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "text/added_tokens.h"

namespace precis {

// Fields that the files leave out are empty.
struct TokenizerConfig {
  std::string place;  // the path of tokenizer_config.json, for messages
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<std::string> unk_token;
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  // false: text after a special token gets no dummy space in front. transformers' default is true.
  std::optional<bool> legacy;
  std::vector<AddedToken> added_tokens;      // added_tokens_decoder, by id
  std::optional<std::string> chat_template;  // chat_template.jinja before the config's own; of several the "default"
  std::string chat_template_place;           // where it stands, for messages
};

// Throws Error when a file is there and malformed. Files that are absent leave their fields empty.
TokenizerConfig read_tokenizer_config(const Folder& folder);

// An added token as tokenizer.json and added_tokens_decoder write it, but for its id.
AddedToken read_added_token(const JsonView& json, std::int32_t id);

}  // namespace precis
