// The `model` of a tokenizer.json of type BPE: one word -> ids.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/added_tokens.h"
#include "text/bpe_merger.h"
#include "text/vocabulary.h"

namespace precis {

// Built once, then read by any number of threads.
class BpeModel {
 public:
  // `added`: the file's added tokens, which share the ids. `byte_level`: words are spelled byte by byte with the
  // stand-in characters of text/byte_level.h; otherwise character by character. Throws Error for options that would
  // change ids and are not understood, and for a vocabulary or merges that contradict themselves.
  BpeModel(const JsonView& json, std::span<const AddedToken> added, bool byte_level);

  // Appends the ids of `word` (valid UTF-8, not empty). A character that the vocabulary lacks becomes its byte tokens,
  // else the unknown token, else nothing: as in Hugging Face's tokenizers.
  void encode_word(std::string_view word, std::vector<std::int32_t>& ids) const;

  // Every token's text as the file writes it, added ones included; find() knows the model's own only.
  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  // Ids by byte, -1 where there is none.
  using ByteIds = std::array<std::int32_t, 256>;

  void read_options(const JsonView& json);
  void read_merges(const JsonView& json);
  void find_bytes();
  std::vector<std::int32_t> symbols_of(std::string_view word) const;
  bool append_bytes(std::string_view character, std::vector<std::int32_t>& symbols) const;

  bool byte_level_;
  bool ignore_merges_ = false;
  bool byte_fallback_ = false;
  bool fuse_unk_ = false;
  std::optional<std::int32_t> unk_id_;
  Vocabulary vocabulary_;
  BpeMerger merger_;
  ByteIds byte_level_ids_{};     // of the stand-in characters
  ByteIds byte_fallback_ids_{};  // of <0x00> to <0xFF>
  std::vector<bool> special_;    // by id
};

}  // namespace precis
