// Where a long text may be cut before sentencepiece's BPE without changing a single id.
#pragma once

#include <cstddef>
#include <string_view>

#include "text/flat_map.h"
#include "text/sentencepiece_model.h"

namespace precis {

// A merge makes a piece, so no merge ever joins two characters that stand side by side in no piece: between them the
// text falls apart into parts that do not know of each other. Sentencepiece's queue works much faster on short parts.
// Read by any number of threads.
class PieceCuts {
 public:
  explicit PieceCuts(const SentencePieceModel& model);

  // The first place at or after `wanted` bytes where `text` (valid UTF-8) can be cut, or its end.
  std::size_t next(std::string_view text, std::size_t wanted) const;

 private:
  FlatMap neighbours_;  // pairs of characters that stand side by side in a piece
};

}  // namespace precis
