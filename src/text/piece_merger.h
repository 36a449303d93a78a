// Sentencepiece's BPE for the long runs that its own queue is slow on (a million dashes take it seconds).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/bpe_merger.h"
#include "text/flat_map.h"
#include "text/sentencepiece_model.h"

namespace precis {

// Gives the ids that sentencepiece gives, for texts all of whose characters are pieces: joining the neighbours whose
// joined text is the best-scored piece, leftmost first. Read by any number of threads.
class PieceMerger {
 public:
  // `model`: BPE.
  explicit PieceMerger(const SentencePieceModel& model);

  // Appends the ids of `text` (valid UTF-8), after a dummy space if `dummy_space`. False, with nothing appended, when
  // the text holds a character that is no piece, or one that may begin a user-defined piece.
  bool encode(std::string_view text, bool dummy_space, std::vector<std::int32_t>& ids) const;

 private:
  BpeMerger merger_;
  FlatMap chars_;  // characters that are normal pieces -> id
};

}  // namespace precis
