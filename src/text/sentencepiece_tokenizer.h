// A tokenizer.model through Google's sentencepiece (Llama 2, Mistral 7B, the demo models).
#pragma once

#include <filesystem>
#include <memory>

#include "text/tokenizer.h"

namespace precis {

// Special are the control and unknown pieces and what tokenizer_config.json adds as special. Pieces that the model
// itself calls user-defined are found in every text, by sentencepiece.
//
// The dummy space in front of a text is the model's; in front of text after a special token it depends on `legacy` in
// tokenizer_config.json as in Hugging Face's LlamaTokenizer: true (the default) puts it there, false does not.
//
// Throws Error("PATH: ...").
std::unique_ptr<Tokenizer> open_sentencepiece_tokenizer(const std::filesystem::path& path, TokenizerConfig config);

}  // namespace precis
