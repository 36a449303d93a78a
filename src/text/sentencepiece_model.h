// What a tokenizer.model (sentencepiece's ModelProto) says, read before sentencepiece sees it: the library trusts more
// of the file than a stranger's file deserves, and does not tell all that is needed here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace precis {

struct SentencePieceModel {
  enum class Type { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string text;
    Type type = Type::normal;
    float score = 0;
  };

  std::vector<Piece> pieces;  // by id
  bool is_bpe = false;
  bool byte_fallback = false;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  std::string unknown_surface = " \xE2\x81\x87 ";  // what an unknown piece decodes to
};

// Throws Error when `bytes` is not such a file, or uses what is not understood here.
SentencePieceModel read_sentencepiece_model(std::string_view bytes);

// The same file with add_dummy_prefix off: sentencepiece.proto is proto2, where a later value of a field overrides an
// earlier one and later parts of a message join it, so this is three fields put behind the rest.
std::string without_dummy_prefix(std::string_view bytes);

}  // namespace precis
