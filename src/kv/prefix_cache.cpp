#include "kv/prefix_cache.h"

#include <algorithm>
#include <iterator>

namespace precis {
namespace {

std::int64_t common_prefix(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

// Whether every place where a sequence can set in from `other` is one of `snapshot` too.
bool covers(const PrefixSnapshot& snapshot, const PrefixSnapshot& other) {
  const auto length = static_cast<std::int64_t>(other.ids.size());
  return snapshot.lowest <= other.lowest && snapshot.ids.size() >= other.ids.size() &&
         common_prefix(snapshot.ids, other.ids) == length;
}

}  // namespace

void PrefixCache::insert(PrefixSnapshot snapshot) {
  if (budget_.of(snapshot.kv.pages()) > budget_.bytes) return;
  for (auto it = snapshots_.begin(); it != snapshots_.end(); ++it) {
    if (covers(*it, snapshot)) {
      snapshots_.splice(snapshots_.begin(), snapshots_, it);
      return;
    }
  }
  for (auto it = snapshots_.begin(); it != snapshots_.end();) {
    const auto other = it++;
    if (covers(snapshot, *other)) erase(other);
  }
  count_pages(snapshot.kv, 1);
  snapshots_.push_front(std::move(snapshot));
  while (bytes() > budget_.bytes && drop_oldest()) {
  }
}

std::optional<PrefixMatch> PrefixCache::find(std::span<const std::int32_t> ids, std::int64_t limit) {
  auto best = snapshots_.end();
  std::int64_t best_tokens = 0;
  for (auto it = snapshots_.begin(); it != snapshots_.end(); ++it) {
    const std::int64_t tokens = std::min(common_prefix(it->ids, ids), limit);
    if (tokens >= it->lowest && tokens > best_tokens) {
      best = it;
      best_tokens = tokens;
    }
  }
  if (best == snapshots_.end()) return std::nullopt;
  snapshots_.splice(snapshots_.begin(), snapshots_, best);
  return PrefixMatch{best_tokens, best->lowest, best->summarised, best->kv.share()};
}

bool PrefixCache::drop_oldest() {
  if (snapshots_.empty()) return false;
  erase(std::prev(snapshots_.end()));
  ++statistics_.evictions;
  return true;
}

void PrefixCache::clear() {
  while (!snapshots_.empty()) erase(snapshots_.begin());
}

void PrefixCache::count_hit(std::int64_t tokens) {
  ++statistics_.hits;
  statistics_.tokens += tokens;
}

PageCounts PrefixCache::pages_alone() const {
  PageCounts alone;
  for (std::size_t index = 0; index < holders_.size(); ++index) {
    const auto page = static_cast<PageId>(index);
    if (holders_[index] > 0 && holders_[index] == pool_->holders(page)) ++alone.of(pool_->kind_of(page));
  }
  return alone;
}

void PrefixCache::erase(Snapshots::iterator snapshot) {
  count_pages(snapshot->kv, -1);
  snapshots_.erase(snapshot);
}

void PrefixCache::count_pages(const SequenceKv& kv, std::int32_t change) {
  pool_ = &kv.pool();
  holders_.resize(static_cast<std::size_t>(pool_->total_pages().all()));
  const auto count = [&](const PageTable& table) {
    for (const PageId page : table.pages()) {
      std::int32_t& holders = holders_[static_cast<std::size_t>(page)];
      const bool was_held = holders > 0;
      holders += change;
      if ((holders > 0) != was_held) pages_.of(table.kind()) += change;
    }
  };
  for (std::size_t group = 0; group < kv.groups(); ++group) {
    count(kv.text(group));
    count(kv.summary(group));
  }
}

}  // namespace precis
