// The `decoder` of a tokenizer.json: what a token contributes to the text.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace precis {

// Read by any number of threads.
class TokenDecoder {
 public:
  // ByteLevel, Metaspace, or a sequence of Replace (of texts), ByteFallback, Fuse and a Strip of one space at the
  // start. Throws Error for any other: the text would come out wrong.
  explicit TokenDecoder(const JsonView& json) { add(json); }

  // The bytes that `token` stands for. `first`: no text came before it.
  std::string bytes(std::string_view token, bool first) const;
  bool byte_level() const { return byte_level_; }

 private:
  // Which spaces go from the front of the whole text.
  enum class Leading { kept, one_stripped, all_stripped };

  void add(const JsonView& json);
  void add_strip(const JsonView& json);

  bool byte_level_ = false;
  bool byte_fallback_ = false;
  Leading leading_ = Leading::kept;
  std::vector<std::pair<std::string, std::string>> replacements_;
};

// The byte of a byte-fallback token "<0x41>", or -1.
int byte_of_token(std::string_view token);

}  // namespace precis
