// Pages of what was computed before, kept for later sequences that begin alike.
//
// A *snapshot* is a holder of all pages that a sequence had at some length. A later sequence can set in at any length
// in [lowest, tokens] of a snapshot whose ids it shares that far: below `lowest`, windows lack entries that have left
// sight.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <vector>

#include "kv/sequence_kv.h"

namespace precis {

struct PrefixSnapshot {
  std::vector<std::int32_t> ids;  // [tokens]
  std::int64_t lowest = 0;
  std::int64_t summarised = 0;  // chunks whose summaries are in the pages
  SequenceKv kv;
};

// What a new sequence takes over: the pages of its first `tokens` ids.
struct PrefixMatch {
  std::int64_t tokens = 0;
  std::int64_t lowest = 0;      // of the snapshot: as few tokens would do
  std::int64_t summarised = 0;  // of the snapshot: may be more than `tokens` has chunks
  SequenceKv kv;
};

// Used by the engine's thread alone.
class PrefixCache {
 public:
  // Keeps a snapshot; drops those that it makes superfluous, or itself when one like it is there.
  void insert(PrefixSnapshot snapshot);
  // The longest usable beginning of `ids`, of at most `limit` tokens, with pages shared. The snapshot counts as used.
  std::optional<PrefixMatch> find(std::span<const std::int32_t> ids, std::int64_t limit);
  // Drops the snapshot that has not been used for longest. False when there is none.
  bool drop_oldest();
  void clear();

  std::size_t snapshots() const { return snapshots_.size(); }

 private:
  std::list<PrefixSnapshot> snapshots_;  // lately used first
};

}  // namespace precis
