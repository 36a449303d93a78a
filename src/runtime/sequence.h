// A sequence as the scheduler sees it: ids, how far they are computed, and the pages that hold the result.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "kv/sequence_kv.h"

namespace precis {

// Owned by whoever submitted it; the scheduler changes `computed`, `summarised`, `kv` and the counters, the owner
// appends ids. Used by the engine's thread alone.
struct Sequence {
  std::vector<std::int32_t> ids;  // prompt and answer
  // The next id is not among them yet: the step under way draws it, for this one of its logit rows. < 0: there is none.
  std::int32_t unseen_row = -1;
  std::int64_t prompt = 0;   // ids that are the prompt
  bool all_logits = false;   // logits of every row are wanted, not of the last alone; nothing is reused
  bool keeps_prefix = true;  // what it has computed goes to the prefix cache

  std::int64_t computed = 0;    // text tokens whose K and V are in the pages
  std::int64_t summarised = 0;  // chunks whose summaries are
  SequenceKv kv;
  std::int64_t reused = 0;  // tokens taken from the prefix cache at first admission
  int preemptions = 0;
  bool started = false;  // was part of a step

  // With the id that is not seen.
  std::int64_t length() const { return static_cast<std::int64_t>(ids.size()) + (unseen_row < 0 ? 0 : 1); }
  std::int64_t pending() const { return length() - computed; }
  // The unseen one, if there is one.
  void append(std::int32_t id) {
    ids.push_back(id);
    unseen_row = -1;
  }
};

// One sequence's part of a step.
struct StepItem {
  Sequence* sequence = nullptr;    // none: withdrawn since
  std::int64_t texts = 0;          // text rows, from sequence->computed on
  std::int64_t summarised_to = 0;  // summary rows of chunks [sequence->summarised, summarised_to)
  std::vector<PageCopy> copies;
  // Text rows from this index on are marked as decoded (RowRun), and summary rows of chunks that end behind it.
  std::int64_t decoded_from = std::numeric_limits<std::int64_t>::max();

  // The step ends at the sequence's last id: the next one can be chosen.
  bool completes() const { return texts == sequence->pending(); }
};

}  // namespace precis
