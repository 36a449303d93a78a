// Tokens that are found in the text as they are written, before it is split: special tokens (<|im_end|>) and others
// that a tokenizer lists apart from its vocabulary.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/flat_map.h"
#include "text/regex.h"

namespace precis {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;       // UTF-8, not empty
  bool special = true;       // parsed only where the caller says so; left out of decoded text on demand
  bool single_word = false;  // not next to a word character
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool normalized = false;   // looked for after normalisation
};

// Built once, then read by any number of threads.
class AddedTokens {
 public:
  struct Match {
    TextRange range;  // with the white space that the token takes
    std::int32_t id;
  };

  // Contents must differ.
  explicit AddedTokens(std::span<const AddedToken> tokens);

  bool empty() const { return tokens_.empty(); }
  // The tokens in `text`, leftmost first, longest at each place. A special one counts only inside one of `trusted`
  // (ascending, not touching). Time: bytes of `text` times the length of the longest token at worst.
  std::vector<Match> find(std::string_view text, std::span<const TextRange> trusted) const;

 private:
  struct Hit {
    std::size_t token;
    std::size_t end;
  };

  std::optional<Hit> longest_at(std::string_view text, std::size_t begin) const;
  TextRange with_white_space(const AddedToken& token, std::string_view text, TextRange range, std::size_t done) const;

  std::vector<AddedToken> tokens_;
  std::array<bool, 256> begins_{};       // by first byte
  FlatMap children_;                     // trie: node * 256 + byte -> node; the root is 0
  std::vector<std::int32_t> ends_here_;  // by node: index of the token that ends there, or -1
};

}  // namespace precis
