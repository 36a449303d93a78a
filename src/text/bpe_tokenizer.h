// A tokenizer as Hugging Face's tokenizer.json describes it, for models of type BPE: byte-level (GPT-2, Llama 3, Qwen,
// Mistral Nemo) or with byte fallback (Llama 2).
#pragma once

#include <filesystem>
#include <memory>

#include "text/bpe_model.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/token_decoder.h"
#include "text/tokenizer.h"

namespace precis {

class BpeTokenizer : public Tokenizer {
 public:
  struct Pipeline {
    Normalizer normalizer;
    PreTokenizer pre_tokenizer;
    BpeModel model;
    TokenDecoder decoder;
    std::vector<AddedToken> normalized;  // looked for in normalised text; contents are normalised
  };
  BpeTokenizer(Parts parts, Pipeline pipeline);

  std::string token_bytes(std::int32_t id, bool first) const override;
  std::string piece(std::int32_t id) const override;

 protected:
  void encode_plain(std::string_view text, bool at_start, std::vector<std::int32_t>& ids) const override;

 private:
  void encode_words(const WordList& list, std::vector<std::int32_t>& ids) const;

  Pipeline pipeline_;
  AddedTokens normalized_;
};

// Throws Error("PATH: ...").
std::unique_ptr<Tokenizer> open_bpe_tokenizer(const std::filesystem::path& path, TokenizerConfig config);

}  // namespace precis
