// The `pre_tokenizer` of a tokenizer.json: cuts a text into words that are then encoded one by one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/regex.h"

namespace precis {

// A text and the words it is cut into: ascending ranges of it, none empty.
struct WordList {
  std::string text;
  std::vector<TextRange> words;
  bool at_start = true;  // the text is the beginning of what the user gave
};

// One step, from words to smaller words. Used by any number of threads.
class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  virtual void apply(WordList& list) const = 0;
};

class PreTokenizer {
 public:
  // One word: the whole text.
  PreTokenizer() = default;
  // Split, ByteLevel, Metaspace, Digits and sequences of them. Throws Error for any other.
  explicit PreTokenizer(const JsonView& json) { add(json); }

  WordList split(std::string text, bool at_start) const;
  // Words are to be looked up byte by byte (pre-tokenizer ByteLevel). The words given out still are plain text.
  bool byte_level() const { return byte_level_; }

 private:
  void add(const JsonView& json);

  std::vector<std::shared_ptr<const PreTokenizerStep>> steps_;
  bool byte_level_ = false;
};

}  // namespace precis
