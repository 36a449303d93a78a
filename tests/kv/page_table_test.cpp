// Page tables against a naive model: what each entry should read as, and which pages should be there for it.
#include "kv/page_table.h"

#include <gtest/gtest.h>

#include <limits>
#include <list>
#include <map>
#include <set>

#include "support/random.h"

namespace precis::test {
namespace {

class PageTableModel {
 public:
  PageTableModel(Random& random, PageKind kind, std::int64_t pages, std::int64_t page_entries)
      : random_(random),
        kind_(kind),
        pool_(kind == PageKind::near ? pages : 0, kind == PageKind::near ? 0 : pages),
        page_entries_(page_entries),
        memory_(static_cast<std::size_t>(pages * page_entries), 0) {}
  ~PageTableModel() {
    for (Track& track : tracks_) track.table.release(pool_);
  }

  void step() {
    if (tracks_.empty() || random_.chance(0.03)) tracks_.push_back({PageTable(page_entries_, kind_), 0, {}, {}});
    const auto track = std::next(tracks_.begin(), random_.below(static_cast<std::int64_t>(tracks_.size())));
    const std::int64_t action = random_.below(100);
    if (action < 60) {
      append(*track);
    } else if (action < 75) {
      trim(*track);
    } else if (action < 85) {
      truncate(*track);
    } else if (action < 95) {
      if (tracks_.size() < 8) tracks_.push_back({track->table.share(pool_), track->end, track->values, track->pages});
    } else {
      track->table.release(pool_);
      tracks_.erase(track);
    }
  }

  void verify() const {
    std::map<PageId, std::int32_t> holders;
    for (const Track& track : tracks_) {
      std::set<std::int64_t> pages;
      for (std::size_t i = 0; i < track.table.pages().size(); ++i) {
        pages.insert(track.table.first_page() + static_cast<std::int64_t>(i));
        ++holders[track.table.pages()[i]];
      }
      ASSERT_EQ(pages, track.pages);
      for (const auto& [entry, value] : track.values) {
        ASSERT_EQ(memory_[static_cast<std::size_t>(track.table.slot(entry))], value) << "entry " << entry;
      }
    }
    ASSERT_EQ(pool_.used_pages().all(), static_cast<std::int64_t>(holders.size()));
    for (const auto& [page, count] : holders) ASSERT_EQ(pool_.holders(page), count) << "page " << page;
  }

  void release_all() {
    for (Track& track : tracks_) track.table.release(pool_);
    tracks_.clear();
    ASSERT_EQ(pool_.used_pages().all(), 0);
  }

  int copies() const { return copied_; }

 private:
  struct Track {
    PageTable table;
    std::int64_t end;                             // next entry
    std::map<std::int64_t, std::int64_t> values;  // entry -> what it must read as
    std::set<std::int64_t> pages;                 // page numbers that must be there
  };

  void append(Track& track) {
    const std::int64_t to = track.end + random_.below(3 * page_entries_);
    const std::int64_t wanted = track.table.pages_to_write(pool_, track.end, to);
    if (wanted > pool_.free_pages().of(kind_)) return;
    const std::int64_t before = pool_.free_pages().of(kind_);
    std::vector<PageCopy> copies;
    track.table.prepare(pool_, track.end, to, copies);
    // A copy takes a page and leaves the other to its other holders.
    ASSERT_EQ(before - pool_.free_pages().of(kind_), wanted);
    for (const PageCopy& copy : copies) {
      ++copied_;
      const auto from = memory_.begin() + copy.from * page_entries_;
      std::copy(from, from + page_entries_, memory_.begin() + copy.to * page_entries_);
    }
    for (; track.end < to; ++track.end) {
      const std::int64_t slot = track.table.slot(track.end);
      ASSERT_EQ(pool_.holders(static_cast<PageId>(slot / page_entries_)), 1) << "a shared page would be written";
      memory_[static_cast<std::size_t>(slot)] = ++value_;
      track.values[track.end] = value_;
      track.pages.insert(track.end / page_entries_);
    }
  }

  void trim(Track& track) {
    const bool all = random_.chance(0.1);
    const std::int64_t from = all ? std::numeric_limits<std::int64_t>::max() : random_.between(0, track.end);
    track.table.trim(pool_, from);
    std::erase_if(track.pages, [&](std::int64_t page) { return all || (page + 1) * page_entries_ <= from; });
    std::erase_if(track.values, [&](const auto& value) { return value.first < from; });
  }

  // No further back than something is held: what was trimmed cannot be written again.
  void truncate(Track& track) {
    const std::int64_t least = track.pages.empty() ? track.end : *track.pages.begin() * page_entries_;
    track.end = random_.between(least, track.end);
    track.table.truncate(pool_, track.end);
    std::erase_if(track.pages, [&](std::int64_t page) { return page * page_entries_ >= track.end; });
    std::erase_if(track.values, [&](const auto& value) { return value.first >= track.end; });
  }

  Random& random_;
  const PageKind kind_;
  PagePool pool_;
  std::int64_t page_entries_;
  std::vector<std::int64_t> memory_;
  std::list<Track> tracks_;
  std::int64_t value_ = 0;
  int copied_ = 0;
};

TEST(PageTableTest, AgreesWithAMapOfEntries) {
  int copies = 0;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const PageKind kind = random.chance(0.5) ? PageKind::near : PageKind::far;
    PageTableModel model(random, kind, random.between(4, 60), random.between(1, 7));
    for (int step = 0; step < 250; ++step) {
      model.step();
      if (!HasFatalFailure()) model.verify();
      if (HasFatalFailure()) return;
    }
    model.release_all();
    copies += model.copies();
  }
  EXPECT_GT(copies, 100) << "the runs hardly ever wrote behind a shared page";
}

TEST(PageTableTest, CopiesOnlyThePageThatIsWritten) {
  PagePool pool(10);
  PageTable table(4);
  std::vector<PageCopy> copies;
  table.prepare(pool, 0, 10, copies);
  EXPECT_TRUE(copies.empty());
  PageTable other = table.share(pool);
  EXPECT_EQ(pool.used_pages().all(), 3);
  EXPECT_EQ(other.pages_to_write(pool, 10, 11), 1);
  other.prepare(pool, 10, 11, copies);
  ASSERT_EQ(copies.size(), 1U);
  EXPECT_EQ(copies[0].from, table.pages()[2]);
  EXPECT_EQ(copies[0].to, other.pages()[2]);
  EXPECT_EQ(table.pages()[1], other.pages()[1]);
  // Alone on its page now, the first table goes on without a copy.
  EXPECT_EQ(table.pages_to_write(pool, 10, 12), 0);
  table.release(pool);
  other.release(pool);
  EXPECT_EQ(pool.used_pages().all(), 0);
}

TEST(PageTableTest, AFullSharedPageIsNotCopied) {
  PagePool pool(10);
  PageTable table(4);
  std::vector<PageCopy> copies;
  table.prepare(pool, 0, 8, copies);
  PageTable other = table.share(pool);
  EXPECT_EQ(other.pages_to_write(pool, 8, 9), 1);
  other.prepare(pool, 8, 9, copies);
  EXPECT_TRUE(copies.empty());
  table.release(pool);
  other.release(pool);
}

TEST(PageTableTest, NothingToWriteTakesNothing) {
  PagePool pool(1);
  PageTable table(4);
  std::vector<PageCopy> copies;
  EXPECT_EQ(table.pages_to_write(pool, 3, 3), 0);
  table.prepare(pool, 3, 3, copies);
  EXPECT_EQ(pool.used_pages().all(), 0);
}

// Neighbours in a sequence are neighbours in memory, also of who takes what others have given back.
TEST(PageTableTest, PagesComeBackInTheOrderInWhichTheyLie) {
  PagePool pool(12);
  std::vector<PageCopy> copies;
  const auto taken = [&](std::int64_t pages) {
    PageTable table(4);
    table.prepare(pool, 0, 4 * pages, copies);
    return table;
  };
  const auto pages_of = [](const PageTable& table) {
    return std::vector<PageId>(table.pages().begin(), table.pages().end());
  };
  PageTable first = taken(8);
  EXPECT_EQ(pages_of(first), (std::vector<PageId>{0, 1, 2, 3, 4, 5, 6, 7}));
  first.trim(pool, 4 * 5);
  PageTable second = taken(5);
  EXPECT_EQ(pages_of(second), (std::vector<PageId>{0, 1, 2, 3, 4}));
  second.release(pool);
  first.release(pool);
  PageTable third = taken(8);
  EXPECT_EQ(pages_of(third), (std::vector<PageId>{5, 6, 7, 0, 1, 2, 3, 4}));
  third.release(pool);
  EXPECT_EQ(pool.free_pages(), pool.total_pages());
}

TEST(PageTableTest, MovingHandsThePagesOver) {
  PagePool pool(4);
  PageTable table(4);
  std::vector<PageCopy> copies;
  table.prepare(pool, 5, 9, copies);
  PageTable moved(std::move(table));
  EXPECT_EQ(moved.first_page(), 1);
  EXPECT_EQ(moved.pages().size(), 2U);
  PageTable assigned(1);
  assigned = std::move(moved);
  EXPECT_EQ(assigned.slot(5) % 4, 1);
  assigned.release(pool);
  EXPECT_EQ(pool.used_pages().all(), 0);
}

TEST(PageTableDeathTest, MisuseEndsTheProcess) {
  PagePool pool(4);
  std::vector<PageCopy> copies;
  PageTable table(4);
  table.prepare(pool, 0, 4, copies);
  EXPECT_DEATH(table.slot(4), "entry 4");
  EXPECT_DEATH(table.prepare(pool, 9, 10, copies), "entry 9");  // a gap
  EXPECT_DEATH(
      {
        PageTable lost(4);
        lost.prepare(pool, 0, 1, copies);
      },
      "not given back");
  table.release(pool);
}

}  // namespace
}  // namespace precis::test
