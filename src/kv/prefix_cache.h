// Pages of what was computed before, kept for later sequences that begin alike.
//
// A *snapshot* is a holder of all pages that a sequence had at some length. A later sequence can set in at any length
// in [lowest, tokens] of a snapshot whose ids it shares that far: below `lowest`, windows lack entries that have left
// sight.
#pragma once

#include <cstdint>
#include <limits>
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

// What snapshots may hold, counted as memory of both kinds.
struct PrefixBudget {
  std::int64_t bytes = std::numeric_limits<std::int64_t>::max();
  std::int64_t near_page_bytes = 0;
  std::int64_t far_page_bytes = 0;  // with what the device's own memory has of it

  std::int64_t of(const PageCounts& pages) const { return pages.near * near_page_bytes + pages.far * far_page_bytes; }
};

// Since the engine was opened.
struct PrefixStatistics {
  std::int64_t hits = 0;       // beginnings that were found
  std::int64_t tokens = 0;     // of these: not computed again
  std::int64_t evictions = 0;  // snapshots dropped for their room
};

// Used by the engine's thread alone.
class PrefixCache {
 public:
  explicit PrefixCache(const PrefixBudget& budget = {}) : budget_(budget) {}

  // Keeps a snapshot; drops those that it makes superfluous, or itself when one like it is there. Where they hold more
  // than the budget together, those leave that were not used for longest; one that has more alone is not kept, and none
  // leaves for it.
  void insert(PrefixSnapshot snapshot);
  // The longest usable beginning of `ids`, of at most `limit` tokens, with pages shared. The snapshot counts as used.
  std::optional<PrefixMatch> find(std::span<const std::int32_t> ids, std::int64_t limit);
  // Drops the snapshot that has not been used for longest. False when there is none.
  bool drop_oldest();
  void clear();
  // A beginning that was found is made use of.
  void count_hit(std::int64_t tokens);

  std::size_t snapshots() const { return snapshots_.size(); }
  const PrefixBudget& budget() const { return budget_; }
  const PrefixStatistics& statistics() const { return statistics_; }
  // That any snapshot holds, perhaps beside running sequences; a page that several hold counts once.
  PageCounts pages() const { return pages_; }
  std::int64_t bytes() const { return budget_.of(pages_); }
  // Of these, what only snapshots hold: what would be free without them.
  PageCounts pages_alone() const;

 private:
  using Snapshots = std::list<PrefixSnapshot>;

  void erase(Snapshots::iterator snapshot);
  // One holder more (1) or less (-1) of each of the pages.
  void count_pages(const SequenceKv& kv, std::int32_t change);

  PrefixBudget budget_;
  PrefixStatistics statistics_;
  Snapshots snapshots_;                // lately used first
  std::vector<std::int32_t> holders_;  // [pages of the pool]: snapshots that hold it
  const PagePool* pool_ = nullptr;     // of the snapshots; none before the first
  PageCounts pages_;
};

}  // namespace precis
