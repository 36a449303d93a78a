// The prefix cache against a list that is searched word by word.
#include "kv/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/random.h"

namespace precis::test {
namespace {

using Ids = std::vector<std::int32_t>;

class PrefixCacheTest : public testing::Test {
 protected:
  ~PrefixCacheTest() override {
    cache_.clear();
    EXPECT_EQ(pool_.used_pages().all(), 0);
  }

  // A snapshot with a page for each token. `name` tells snapshots apart: it comes back as `summarised`.
  PrefixSnapshot snapshot(Ids ids, std::int64_t lowest, std::int64_t name) {
    SequenceKv kv(geometry_, pool_);
    std::vector<PageCopy> copies;
    kv.prepare({.text_from = 0, .text_to = static_cast<std::int64_t>(ids.size()), .summary_from = 0, .summary_to = 0},
               copies);
    return {.ids = std::move(ids), .lowest = lowest, .summarised = name, .kv = std::move(kv)};
  }

  // Name and length of what is found; {-1, 0} for nothing.
  std::pair<std::int64_t, std::int64_t> found(const Ids& ids, std::int64_t limit) {
    const auto match = cache_.find(ids, limit);
    if (!match) return {-1, 0};
    EXPECT_GE(match->kv.pages().all(), match->tokens);
    return {match->summarised, match->tokens};
  }

  KvGeometry geometry_ = make_kv_geometry(std::vector<std::int32_t>{0}, 1, 1, 2, DType::f32);
  PagePool pool_{4000};
  PrefixCache cache_;
};

TEST_F(PrefixCacheTest, TheLongestBeginningIsFound) {
  cache_.insert(snapshot({1, 2, 3}, 0, 10));
  cache_.insert(snapshot({1, 2, 4, 5, 6}, 0, 11));
  EXPECT_EQ(found({1, 2, 3, 4}, 3), std::pair(std::int64_t{10}, std::int64_t{3}));
  EXPECT_EQ(found({1, 2, 4, 5, 9}, 4), std::pair(std::int64_t{11}, std::int64_t{4}));
  EXPECT_EQ(found({7}, 0).first, -1);
  EXPECT_EQ(found({7, 8}, 1).first, -1);
}

TEST_F(PrefixCacheTest, NoMoreThanTheLimit) {
  cache_.insert(snapshot({1, 2, 3}, 0, 10));
  EXPECT_EQ(found({1, 2, 3}, 2).second, 2);
  EXPECT_EQ(found({1, 2, 3}, 0).first, -1);
}

TEST_F(PrefixCacheTest, NothingBelowTheLowestRestart) {
  cache_.insert(snapshot({1, 2, 3, 4, 5}, 4, 10));
  EXPECT_EQ(found({1, 2, 3, 9, 9}, 4).first, -1);
  EXPECT_EQ(found({1, 2, 3, 4, 9}, 3).first, -1);
  EXPECT_EQ(found({1, 2, 3, 4, 9}, 4).second, 4);
}

TEST_F(PrefixCacheTest, AShorterSnapshotServesWhereTheLongerCannot) {
  cache_.insert(snapshot({1, 2, 3, 4, 5, 6}, 5, 10));
  cache_.insert(snapshot({1, 2, 3}, 2, 11));
  EXPECT_EQ(cache_.snapshots(), 2U);
  EXPECT_EQ(found({1, 2, 3, 4, 9, 9}, 5), std::pair(std::int64_t{11}, std::int64_t{3}));
  EXPECT_EQ(found({1, 2, 3, 4, 5, 9}, 5), std::pair(std::int64_t{10}, std::int64_t{5}));
}

TEST_F(PrefixCacheTest, SupersededSnapshotsLeave) {
  cache_.insert(snapshot({1, 2}, 0, 10));
  cache_.insert(snapshot({1, 2, 3}, 0, 11));
  EXPECT_EQ(cache_.snapshots(), 1U);
  EXPECT_EQ(pool_.used_pages().all(), 3);
  cache_.insert(snapshot({1, 2}, 0, 12));  // superfluous itself
  EXPECT_EQ(cache_.snapshots(), 1U);
  EXPECT_EQ(found({1, 2, 3, 4}, 4).first, 11);
  // The longer one lacks a window that the shorter one has: both stay.
  cache_.insert(snapshot({1, 2, 3, 4}, 3, 13));
  EXPECT_EQ(cache_.snapshots(), 2U);
}

TEST_F(PrefixCacheTest, TheOneUnusedForLongestIsDropped) {
  cache_.insert(snapshot({1, 1}, 0, 10));
  cache_.insert(snapshot({2, 2}, 0, 11));
  cache_.insert(snapshot({3, 3}, 0, 12));
  found({1, 1, 5}, 2);
  EXPECT_TRUE(cache_.drop_oldest());
  EXPECT_EQ(found({2, 2, 5}, 2).first, -1);
  EXPECT_TRUE(cache_.drop_oldest());
  EXPECT_EQ(found({3, 3, 5}, 2).first, -1);
  EXPECT_EQ(found({1, 1, 5}, 2).first, 10);
  EXPECT_TRUE(cache_.drop_oldest());
  EXPECT_FALSE(cache_.drop_oldest());
}

TEST_F(PrefixCacheTest, AMatchOutlivesItsSnapshot) {
  cache_.insert(snapshot({1, 2, 3}, 0, 10));
  const auto match = cache_.find(Ids{1, 2, 3, 4}, 3);
  cache_.clear();
  EXPECT_EQ(pool_.used_pages().all(), 3);
  EXPECT_EQ(match->kv.pages().all(), 3);
}

// Pages that are shared between snapshots, with a running sequence, or with neither.
TEST_F(PrefixCacheTest, PagesAreCountedOnce) {
  cache_.insert(snapshot({1, 2, 3, 4, 5}, 4, 10));
  EXPECT_EQ(cache_.pages(), (PageCounts{5, 0}));
  EXPECT_EQ(cache_.pages_alone(), (PageCounts{5, 0}));
  const auto match = cache_.find(Ids{1, 2, 3, 4, 9}, 4);
  EXPECT_EQ(cache_.pages_alone(), (PageCounts{0, 0}));
  SequenceKv kv = match->kv.share();
  kv.truncate(3, 0);
  cache_.insert({.ids = {1, 2, 3}, .lowest = 1, .summarised = 11, .kv = std::move(kv)});
  EXPECT_EQ(cache_.snapshots(), 2U);
  EXPECT_EQ(cache_.pages(), (PageCounts{5, 0}));
  cache_.insert(snapshot({7, 8}, 0, 12));
  EXPECT_EQ(cache_.pages(), (PageCounts{7, 0}));
  EXPECT_EQ(cache_.pages_alone(), (PageCounts{2, 0}));
  EXPECT_TRUE(cache_.drop_oldest());
  EXPECT_TRUE(cache_.drop_oldest());
  EXPECT_EQ(cache_.pages(), (PageCounts{2, 0}));
  EXPECT_EQ(cache_.statistics().evictions, 2);
  cache_.clear();
  EXPECT_EQ(cache_.pages(), (PageCounts{0, 0}));
  EXPECT_EQ(cache_.pages_alone(), (PageCounts{0, 0}));
  EXPECT_EQ(cache_.statistics().evictions, 2);
}

TEST_F(PrefixCacheTest, TheBudgetHolds) {
  PrefixCache cache({.bytes = 700, .near_page_bytes = 100, .far_page_bytes = 150});
  cache.insert(snapshot({1, 1, 1}, 0, 10));
  cache.insert(snapshot({2, 2, 2}, 0, 11));
  EXPECT_EQ(cache.bytes(), 600);
  EXPECT_TRUE(cache.find(Ids{1, 1, 1}, 3));
  cache.insert(snapshot({3, 3}, 0, 12));  // the second was not used for longest
  EXPECT_EQ(cache.bytes(), 500);
  EXPECT_FALSE(cache.find(Ids{2, 2, 2}, 3));
  EXPECT_TRUE(cache.find(Ids{1, 1, 1}, 3));
  cache.insert(snapshot({4, 4, 4, 4, 4, 4, 4, 4}, 0, 13));  // too large alone
  EXPECT_EQ(cache.bytes(), 500);
  EXPECT_EQ(cache.snapshots(), 2U);
  EXPECT_EQ(pool_.used_pages().all(), 5);
}

// What the header says, in a vector.
class NaiveCache {
 public:
  struct Snapshot {
    Ids ids;
    std::int64_t lowest;
    std::int64_t name;
  };

  void insert(const Snapshot& snapshot) {
    for (std::size_t i = 0; i < snapshots_.size(); ++i) {
      if (serves(snapshots_[i], snapshot)) return use(i);
    }
    std::erase_if(snapshots_, [&](const Snapshot& other) { return serves(snapshot, other); });
    snapshots_.insert(snapshots_.begin(), snapshot);
  }

  std::pair<std::int64_t, std::int64_t> find(const Ids& ids, std::int64_t limit) {
    for (std::int64_t tokens = std::min(limit, static_cast<std::int64_t>(ids.size())); tokens > 0; --tokens) {
      for (std::size_t i = 0; i < snapshots_.size(); ++i) {
        if (!can_set_in(snapshots_[i], ids, tokens)) continue;
        const std::int64_t name = snapshots_[i].name;
        use(i);
        return {name, tokens};
      }
    }
    return {-1, 0};
  }

  bool drop_oldest() {
    if (snapshots_.empty()) return false;
    snapshots_.pop_back();
    return true;
  }

  std::size_t size() const { return snapshots_.size(); }

 private:
  static bool can_set_in(const Snapshot& snapshot, const Ids& ids, std::int64_t tokens) {
    return tokens >= snapshot.lowest && tokens <= static_cast<std::int64_t>(snapshot.ids.size()) &&
           std::equal(ids.begin(), ids.begin() + tokens, snapshot.ids.begin());
  }

  // Every place of `other` is one of `snapshot` too.
  static bool serves(const Snapshot& snapshot, const Snapshot& other) {
    for (auto tokens = other.lowest; tokens <= static_cast<std::int64_t>(other.ids.size()); ++tokens) {
      if (!can_set_in(snapshot, other.ids, tokens)) return false;
    }
    return true;
  }

  void use(std::size_t index) {
    const auto at = snapshots_.begin() + static_cast<std::ptrdiff_t>(index);
    std::rotate(snapshots_.begin(), at, at + 1);
  }

  std::vector<Snapshot> snapshots_;  // lately used first
};

TEST_F(PrefixCacheTest, AgreesWithANaiveSearch) {
  int hits = 0;
  for (std::uint64_t seed = 0; seed < 80; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    NaiveCache naive;
    std::int64_t name = 0;
    const auto ids = [&] {
      Ids result(static_cast<std::size_t>(random.between(1, 8)));
      for (auto& id : result) id = static_cast<std::int32_t>(random.below(2));
      return result;
    };
    for (int step = 0; step < 300; ++step) {
      const std::int64_t action = random.below(10);
      if (action < 4) {
        const Ids of = ids();
        const std::int64_t lowest = random.between(0, static_cast<std::int64_t>(of.size()));
        cache_.insert(snapshot(of, lowest, ++name));
        naive.insert({of, lowest, name});
      } else if (action < 9) {
        const Ids of = ids();
        const std::int64_t limit = random.between(0, static_cast<std::int64_t>(of.size()));
        const auto expected = naive.find(of, limit);
        ASSERT_EQ(found(of, limit), expected);
        hits += expected.second > 0 ? 1 : 0;
      } else {
        ASSERT_EQ(cache_.drop_oldest(), naive.drop_oldest());
      }
      ASSERT_EQ(cache_.pages(), pool_.used_pages());
      ASSERT_EQ(cache_.pages_alone(), pool_.used_pages());
      ASSERT_EQ(cache_.snapshots(), naive.size());
    }
    cache_.clear();
    ASSERT_EQ(pool_.used_pages().all(), 0);
  }
  EXPECT_GT(hits, 1000);
}

}  // namespace
}  // namespace precis::test
