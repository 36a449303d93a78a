#include "kv/prefix_cache.h"

#include <algorithm>

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
  for (auto it = snapshots_.begin(); it != snapshots_.end(); ++it) {
    if (covers(*it, snapshot)) {
      snapshots_.splice(snapshots_.begin(), snapshots_, it);
      return;
    }
  }
  snapshots_.remove_if([&](const PrefixSnapshot& other) { return covers(snapshot, other); });
  snapshots_.push_front(std::move(snapshot));
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
  snapshots_.pop_back();
  return true;
}

void PrefixCache::clear() {
  snapshots_.clear();
}

}  // namespace precis
