#include "kv/page_pool.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "support/random.h"

namespace precis::test {
namespace {

void compare(const PagePool& pool, const std::map<PageId, std::int32_t>& held, const PageCounts& total) {
  PageCounts used;
  for (const auto& [page, holders] : held) ++(page < total.near ? used.near : used.far);
  ASSERT_EQ(pool.total_pages(), total);
  ASSERT_EQ(pool.used_pages(), used);
  ASSERT_EQ(pool.free_pages(), total - used);
  for (PageId page = 0; page < total.all(); ++page) {
    const auto found = held.find(page);
    ASSERT_EQ(pool.holders(page), found == held.end() ? 0 : found->second) << page;
  }
}

TEST(PagePoolTest, AgreesWithACountPerPage) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const PageCounts total{random.between(1, 40), random.chance(0.5) ? random.between(1, 40) : 0};
    PagePool pool(total.near, total.far);
    std::map<PageId, std::int32_t> held;
    for (int step = 0; step < 600; ++step) {
      const std::int64_t action = random.below(3);
      const PageKind kind = random.chance(0.5) ? PageKind::near : PageKind::far;
      if (action == 0 && pool.free_pages().of(kind) > 0) {
        const PageId page = pool.take(kind);
        ASSERT_GE(page, kind == PageKind::near ? 0 : total.near);
        ASSERT_LT(page, kind == PageKind::near ? total.near : total.all());
        ASSERT_TRUE(held.emplace(page, 1).second) << "page " << page << " was handed out twice";
      } else if (action > 0 && !held.empty()) {
        const auto one = std::next(held.begin(), random.below(static_cast<std::int64_t>(held.size())));
        if (action == 1) {
          pool.share(one->first);
          ++one->second;
        } else {
          pool.release(one->first);
          if (--one->second == 0) held.erase(one);
        }
      }
      compare(pool, held, total);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PagePoolTest, HandsOutEveryPage) {
  PagePool pool(100);
  std::set<PageId> pages;
  for (int i = 0; i < 100; ++i) pages.insert(pool.take(PageKind::near));
  EXPECT_EQ(pages.size(), 100U);
  EXPECT_EQ(pool.free_pages().all(), 0);
}

TEST(PagePoolTest, NoPagesAtAll) {
  const PagePool pool(0);
  EXPECT_EQ(pool.free_pages().all(), 0);
  EXPECT_EQ(pool.used_pages().all(), 0);
}

TEST(PagePoolDeathTest, MisuseEndsTheProcess) {
  PagePool pool(1);
  EXPECT_DEATH(pool.release(0), "page 0");
  EXPECT_DEATH(pool.share(0), "page 0");
  pool.take(PageKind::near);
  EXPECT_DEATH(pool.take(PageKind::near), "free");
  EXPECT_DEATH(pool.take(PageKind::far), "free");
}

}  // namespace
}  // namespace precis::test
