// Token ids as they are generated -> pieces of text that are whole characters.
#pragma once

#include <cstdint>
#include <string>

namespace precis {

class Tokenizer;

// One sequence's text. What push() gives, joined, and then finish(), is Tokenizer::decode of the ids. Not thread-safe;
// the tokenizer must outlive it.
class Utf8Stream {
 public:
  enum class Start {
    text,          // the ids are a whole text: the tokenizer's dummy space goes, as in decode()
    continuation,  // the ids go on after other text: a leading space is a space
  };

  Utf8Stream(const Tokenizer& tokenizer, bool skip_special, Start start = Start::text)
      : tokenizer_(tokenizer), skip_special_(skip_special), first_(start == Start::text) {}

  // The text that `id` completes: valid UTF-8, empty while a character is incomplete. A byte that cannot go on the
  // character before it turns that one into U+FFFD.
  std::string push(std::int32_t id);
  // The end: an incomplete character comes out as U+FFFD. The stream is then empty, and goes on after that text.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_;
  bool first_;
  std::string pending_;  // the well-formed beginning of a character, at most 3 bytes
};

}  // namespace precis
