// Text to token ids and back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "text/added_tokens.h"
#include "text/tokenizer_config.h"

namespace precis {

// A stretch of text, and whether special tokens that it spells are meant as such.
struct TextSegment {
  std::string_view text;
  bool parse_special = false;
};

struct EncodeOptions {
  std::optional<bool> add_bos = std::nullopt;  // begin with the bos token; unset: as the model's files say
  std::optional<bool> add_eos = std::nullopt;  // end with the eos token; unset: as the model's files say
  bool parse_special = false;  // special tokens in the text become their ids; otherwise they are text like any other
};

// Text is UTF-8; each broken sequence in it is read as U+FFFD, as by Python's decode(errors="replace").
// Added tokens that are not special (tool-call marks, runs of spaces) are vocabulary: they are always parsed.
// All methods may be called by any number of threads.
class Tokenizer {
 public:
  // What a derived class has read from its files.
  struct Parts {
    TokenizerConfig config;
    std::vector<AddedToken> added;  // contents and ids differ
    std::int32_t vocab_size = 0;
    std::optional<std::int32_t> bos_id;
    std::optional<std::int32_t> eos_id;
    std::vector<std::int32_t> prefix;  // put in front of a text by default
    std::vector<std::int32_t> suffix;  // put behind a text by default
  };

  virtual ~Tokenizer() = default;

  std::vector<std::int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;
  // The ids of the segments' joined text; where they touch is not seen in the ids. Here each segment says for itself
  // whether special tokens are parsed, and a token half in a segment that does not parse is text.
  std::vector<std::int32_t> encode(std::span<const TextSegment> segments, const EncodeOptions& options = {}) const;

  // The text of `ids`, always valid UTF-8: bytes that form no character come out as U+FFFD. `skip_special` leaves
  // special tokens out. Ids outside the vocabulary stand for nothing.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special) const;
  // The bytes that one token adds to a text, perhaps a part of a character. `first`: no text came before it, so the
  // dummy space that some tokenizers put in front of a text goes.
  virtual std::string token_bytes(std::int32_t id, bool first) const = 0;

  // The token as the vocabulary writes it ("Ġthe", "▁the", "<0x0A>"); empty for an id outside it.
  virtual std::string piece(std::int32_t id) const = 0;
  // The id of an added or special token, by its exact text.
  std::optional<std::int32_t> id_of(std::string_view token) const;
  bool is_special(std::int32_t id) const;

  // One past the greatest id.
  std::int32_t vocab_size() const { return vocab_size_; }
  std::optional<std::int32_t> bos_id() const { return bos_id_; }
  // Ids that end a text according to the tokenizer's files (generation_config.json may name more). May be empty.
  const std::vector<std::int32_t>& eos_ids() const { return eos_ids_; }
  bool adds_bos() const { return !prefix_.empty(); }

  const TokenizerConfig& config() const { return config_; }

 protected:
  explicit Tokenizer(Parts parts);

  // Appends the ids of `text`: valid UTF-8, not empty, no special token to be parsed in it. `at_start`: it is the
  // beginning of what was given to encode().
  virtual void encode_plain(std::string_view text, bool at_start, std::vector<std::int32_t>& ids) const = 0;
  // The text of an added token; empty for any other id.
  std::string added_text(std::int32_t id) const;

 private:
  const AddedToken* added_token(std::int32_t id) const;

  TokenizerConfig config_;
  std::vector<AddedToken> added_;  // by id
  AddedTokens finder_;
  std::int32_t vocab_size_;
  std::optional<std::int32_t> bos_id_;
  std::vector<std::int32_t> eos_ids_;
  std::vector<std::int32_t> prefix_;
  std::vector<std::int32_t> suffix_;
};

// The tokenizer of a model's folder: tokenizer.json if it is there, else tokenizer.model; tokenizer_config.json and
// chat_template.jinja beside it are optional. Throws Error when a file is malformed or asks for something unknown that
// would change ids.
std::unique_ptr<Tokenizer> open_tokenizer(const Folder& folder);

}  // namespace precis
