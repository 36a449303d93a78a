#include "text/bpe_merger.h"

#include <algorithm>
#include <array>
#include <functional>
#include <queue>

#include "base/checked.h"
#include "base/error.h"

namespace precis {
namespace {

// Up to here the quadratic walk over a small array beats any queue.
constexpr std::size_t short_word = 32;

constexpr std::uint64_t joined(std::uint32_t high, std::uint32_t low) {
  return std::uint64_t{high} << 32 | low;
}

// Positions waiting to be merged, given back by rank, then by position. A word of a million symbols knows few ranks and
// meets the positions of one rank mostly in order, so each rank keeps a sorted run and a heap for the latecomers.
class MergeQueue {
 public:
  bool empty() const { return ranks_.empty(); }

  void push(std::uint32_t rank, std::int32_t position) {
    Bucket& bucket = bucket_of(rank);
    if (bucket.empty()) {
      bucket.run.clear();
      bucket.next = 0;
      ranks_.push(rank);
    }
    if (bucket.run.empty() || bucket.run.back() < position) {
      bucket.run.push_back(position);
    } else {
      bucket.late.push(position);
    }
  }

  std::pair<std::uint32_t, std::int32_t> pop() {
    const std::uint32_t rank = ranks_.top();
    Bucket& bucket = bucket_of(rank);
    std::int32_t position;
    const bool run_left = bucket.next < bucket.run.size();
    if (run_left && (bucket.late.empty() || bucket.run[bucket.next] <= bucket.late.top())) {
      position = bucket.run[bucket.next++];
    } else {
      position = bucket.late.top();
      bucket.late.pop();
    }
    if (bucket.empty()) ranks_.pop();
    return {rank, position};
  }

 private:
  template <typename T>
  using MinHeap = std::priority_queue<T, std::vector<T>, std::greater<T>>;
  struct Bucket {
    std::vector<std::int32_t> run;  // ascending; [next, end) still waits
    std::size_t next = 0;
    MinHeap<std::int32_t> late;
    bool empty() const { return next == run.size() && late.empty(); }
  };

  Bucket& bucket_of(std::uint32_t rank) {
    if (rank == last_rank_) return buckets_[last_bucket_];
    last_rank_ = rank;
    last_bucket_ = index_.at_or(rank, buckets_.size());
    if (last_bucket_ == buckets_.size()) buckets_.emplace_back();
    return buckets_[last_bucket_];
  }

  FlatMap index_;  // rank -> bucket
  std::vector<Bucket> buckets_;
  MinHeap<std::uint32_t> ranks_;  // of the buckets that are not empty
  std::uint64_t last_rank_ = ~std::uint64_t{0};
  std::size_t last_bucket_ = 0;
};

}  // namespace

void BpeMerger::add(std::int32_t left, std::int32_t right, std::int32_t merged, std::uint32_t rank) {
  PRECIS_CHECK(left >= 0 && right >= 0 && merged >= 0 && rank != no_rank);
  const std::uint64_t key = joined(static_cast<std::uint32_t>(left), static_cast<std::uint32_t>(right));
  pairs_.at_or(key, 0) = joined(rank, static_cast<std::uint32_t>(merged));
}

BpeMerger::Merge BpeMerger::find(std::int32_t left, std::int32_t right) const {
  const std::uint64_t* found = pairs_.find(joined(static_cast<std::uint32_t>(left), static_cast<std::uint32_t>(right)));
  if (!found) return {};
  return {static_cast<std::uint32_t>(*found >> 32), static_cast<std::int32_t>(*found & 0xFFFFFFFFu)};
}

void BpeMerger::merge(std::vector<std::int32_t>& symbols) const {
  if (symbols.size() < 2) return;
  if (symbols.size() <= short_word) {
    merge_short(symbols);
  } else {
    merge_long(symbols);
  }
}

void BpeMerger::merge_short(std::vector<std::int32_t>& symbols) const {
  std::array<Merge, short_word> merges;  // of symbols i and i + 1
  std::size_t count = symbols.size();
  for (std::size_t i = 0; i + 1 < count; ++i) merges[i] = find(symbols[i], symbols[i + 1]);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == no_rank) break;
    symbols[best] = merges[best].merged;
    for (std::size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      merges[i] = merges[i + 1];
    }
    --count;
    if (best > 0) merges[best - 1] = find(symbols[best - 1], symbols[best]);
    if (best + 1 < count) merges[best] = find(symbols[best], symbols[best + 1]);
  }
  symbols.resize(count);
}

void BpeMerger::merge_long(std::vector<std::int32_t>& symbols) const {
  // A symbol and the pair that it begins. A symbol swallowed by its left neighbour keeps no_rank.
  struct Node {
    std::int32_t symbol;
    std::int32_t previous;  // -1: none
    std::int32_t next;      // -1: none
    Merge pair;
  };
  const auto count = narrow<std::int32_t>(symbols.size());
  std::vector<Node> nodes(symbols.size());
  const auto node = [&nodes](std::int32_t i) -> Node& { return nodes[static_cast<std::size_t>(i)]; };
  for (std::int32_t i = 0; i < count; ++i) {
    node(i) = {symbols[static_cast<std::size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1, {}};
  }
  MergeQueue queue;
  const auto look = [&](std::int32_t i) {
    Node& left = node(i);
    left.pair = left.next < 0 ? Merge{} : find(left.symbol, node(left.next).symbol);
    if (left.pair.rank != no_rank) queue.push(left.pair.rank, i);
  };
  for (std::int32_t i = 0; i < count; ++i) look(i);
  while (!queue.empty()) {
    const auto [rank, i] = queue.pop();
    Node& left = node(i);
    if (left.pair.rank != rank) continue;  // one of its two symbols has changed since
    Node& right = node(left.next);
    left.symbol = left.pair.merged;
    left.next = right.next;
    right.pair = {};
    if (left.next >= 0) node(left.next).previous = i;
    look(i);
    if (left.previous >= 0) look(left.previous);
  }
  symbols.clear();
  for (std::int32_t i = 0; i >= 0; i = node(i).next) symbols.push_back(node(i).symbol);
}

}  // namespace precis
