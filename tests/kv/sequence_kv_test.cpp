#include "kv/sequence_kv.h"

#include <gtest/gtest.h>

#include <limits>
#include <list>

#include "support/random.h"

namespace precis::test {
namespace {

constexpr std::int64_t nothing_kept = std::numeric_limits<std::int64_t>::max();

KvGeometry two_groups(std::int64_t page_entries) {
  return make_kv_geometry(std::vector<std::int32_t>{0, 1}, page_entries, 1, 2, DType::f32);
}

TEST(SequenceKvTest, EveryGroupWritesTheSameEntries) {
  const KvGeometry geometry = two_groups(4);
  PagePool pool(20);
  SequenceKv kv(geometry, pool);
  std::vector<PageCopy> copies;
  const KvWrite write{.text_from = 0, .text_to = 9, .summary_from = 0, .summary_to = 1};
  EXPECT_EQ(kv.pages_to_write(write), (PageCounts{2 * (3 + 1), 0}));
  kv.prepare(write, copies);
  EXPECT_EQ(kv.pages().all(), 8);
  EXPECT_EQ(pool.used_pages().all(), 8);
  for (std::size_t group = 0; group < 2; ++group) {
    EXPECT_EQ(kv.text(group).pages().size(), 3U);
    EXPECT_EQ(kv.summary(group).pages().size(), 1U);
  }
}

TEST(SequenceKvTest, OnlyTextOfAFarGroupIsFar) {
  KvGeometry geometry = two_groups(4);
  geometry.groups[1].text_pages = PageKind::far;
  PagePool pool(10, 10);
  SequenceKv kv(geometry, pool);
  std::vector<PageCopy> copies;
  const KvWrite write{.text_from = 0, .text_to = 9, .summary_from = 0, .summary_to = 1};
  EXPECT_EQ(kv.pages_to_write(write), (PageCounts{3 + 1 + 1, 3}));
  kv.prepare(write, copies);
  EXPECT_EQ(kv.pages(), (PageCounts{5, 3}));
  for (const PageId page : kv.text(1).pages()) EXPECT_GE(page, 10);
  for (const PageId page : kv.summary(1).pages()) EXPECT_LT(page, 10);
  // What is shared and then written is copied to a page of the same kind.
  SequenceKv other = kv.share();
  other.prepare({.text_from = 9, .text_to = 10, .summary_from = 1, .summary_to = 1}, copies);
  ASSERT_EQ(copies.size(), 2U);
  for (const PageCopy& copy : copies) EXPECT_EQ(pool.kind_of(copy.from), pool.kind_of(copy.to));
  EXPECT_EQ(pool.used_pages(), (PageCounts{5 + 1, 3 + 1}));
}

TEST(SequenceKvTest, GroupsAreTrimmedOneByOne) {
  const KvGeometry geometry = two_groups(4);
  PagePool pool(20);
  SequenceKv kv(geometry, pool);
  std::vector<PageCopy> copies;
  kv.prepare({.text_from = 0, .text_to = 9, .summary_from = 0, .summary_to = 5}, copies);
  kv.trim(0, {.text_from = 0, .summary_from = nothing_kept});
  EXPECT_EQ(kv.text(0).pages().size(), 3U);
  EXPECT_TRUE(kv.summary(0).pages().empty());
  kv.trim(1, {.text_from = 8, .summary_from = 0});
  EXPECT_EQ(kv.text(1).first_page(), 2);
  EXPECT_EQ(kv.text(1).pages().size(), 1U);
  EXPECT_EQ(kv.summary(1).pages().size(), 2U);
  EXPECT_EQ(pool.used_pages().all(), 3 + 1 + 2);
  // A track that was given back goes on where the sequence is.
  kv.prepare({.text_from = 9, .text_to = 9, .summary_from = 5, .summary_to = 6}, copies);
  EXPECT_EQ(kv.summary(0).first_page(), 1);
  EXPECT_EQ(kv.summary(0).pages().size(), 1U);
  EXPECT_EQ(kv.summary(1).first_page(), 0);
}

TEST(SequenceKvTest, TruncateKeepsTheBeginning) {
  const KvGeometry geometry = two_groups(4);
  PagePool pool(20);
  SequenceKv kv(geometry, pool);
  std::vector<PageCopy> copies;
  kv.prepare({.text_from = 0, .text_to = 16, .summary_from = 0, .summary_to = 8}, copies);
  kv.truncate(5, 4);
  EXPECT_EQ(kv.text(1).pages().size(), 2U);
  EXPECT_EQ(kv.summary(1).pages().size(), 1U);
  kv.truncate(0, 0);
  EXPECT_EQ(kv.pages().all(), 0);
  EXPECT_EQ(pool.used_pages().all(), 0);
}

TEST(SequenceKvTest, EveryWayToEndGivesPagesBack) {
  const KvGeometry geometry = two_groups(3);
  PagePool pool(40);
  std::vector<PageCopy> copies;
  {
    SequenceKv first(geometry, pool);
    first.prepare({.text_from = 0, .text_to = 7, .summary_from = 0, .summary_to = 2}, copies);
    const std::int64_t pages = pool.used_pages().all();
    SequenceKv second = first.share();
    EXPECT_EQ(pool.used_pages().all(), pages);
    first.release();
    EXPECT_EQ(first.pages().all(), 0);
    EXPECT_EQ(pool.used_pages().all(), pages);
    SequenceKv third(std::move(second));
    EXPECT_EQ(pool.used_pages().all(), pages);
    SequenceKv fourth(geometry, pool);
    fourth.prepare({.text_from = 0, .text_to = 7, .summary_from = 0, .summary_to = 0}, copies);
    fourth = std::move(third);  // what it held goes back
    EXPECT_EQ(pool.used_pages().all(), pages);
    fourth.release();
    EXPECT_EQ(pool.used_pages().all(), 0);
    // A released sequence can be used again.
    fourth.prepare({.text_from = 0, .text_to = 1, .summary_from = 0, .summary_to = 0}, copies);
    EXPECT_EQ(pool.used_pages().all(), 2);
  }
  EXPECT_EQ(pool.used_pages().all(), 0);
}

// pages_to_write() is exactly what prepare() takes, whatever is shared, and prepare() leaves no page that it will write
// to anyone else.
TEST(SequenceKvTest, TakesWhatItAnnounces) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    KvGeometry geometry = two_groups(random.between(1, 6));
    const bool far = random.chance(0.5);
    if (far) geometry.groups[0].text_pages = PageKind::far;
    PagePool pool(random.between(20, 120), far ? random.between(10, 60) : 0);
    struct Held {
      SequenceKv kv;
      std::int64_t text = 0;
      std::int64_t summary = 0;
    };
    std::list<Held> sequences;
    for (int step = 0; step < 150; ++step) {
      if (sequences.empty() || random.chance(0.1)) sequences.push_back({SequenceKv(geometry, pool)});
      const auto one = std::next(sequences.begin(), random.below(static_cast<std::int64_t>(sequences.size())));
      if (random.chance(0.15)) sequences.push_back({one->kv.share(), one->text, one->summary});
      if (random.chance(0.1))
        one->kv.trim(0, {.text_from = random.between(0, one->text), .summary_from = nothing_kept});
      const KvWrite write{.text_from = one->text,
                          .text_to = one->text + random.below(9),
                          .summary_from = one->summary,
                          .summary_to = one->summary + random.below(4)};
      const PageCounts wanted = one->kv.pages_to_write(write);
      if (!wanted.within(pool.free_pages())) {
        sequences.erase(one);
        continue;
      }
      const PageCounts before = pool.free_pages();
      std::vector<PageCopy> copies;
      one->kv.prepare(write, copies);
      ASSERT_EQ(before - pool.free_pages(), wanted);
      for (std::size_t group = 0; group < 2; ++group) {
        for (std::int64_t entry = write.text_from; entry < write.text_to; ++entry) {
          const std::int64_t page = one->kv.text(group).slot(entry) / geometry.page_entries;
          ASSERT_EQ(pool.holders(static_cast<PageId>(page)), 1);
        }
        for (std::int64_t entry = write.summary_from; entry < write.summary_to; ++entry) {
          const std::int64_t page = one->kv.summary(group).slot(entry) / geometry.page_entries;
          ASSERT_EQ(pool.holders(static_cast<PageId>(page)), 1);
        }
      }
      one->text = write.text_to;
      one->summary = write.summary_to;
    }
    sequences.clear();
    ASSERT_EQ(pool.used_pages().all(), 0);
  }
}

}  // namespace
}  // namespace precis::test
