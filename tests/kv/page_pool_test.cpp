#include "kv/page_pool.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "support/random.h"

namespace precis::test {
namespace {

void compare(const PagePool& pool, const std::map<PageId, std::int32_t>& held, std::int64_t total) {
  ASSERT_EQ(pool.total_pages(), total);
  ASSERT_EQ(pool.used_pages(), static_cast<std::int64_t>(held.size()));
  ASSERT_EQ(pool.free_pages(), total - static_cast<std::int64_t>(held.size()));
  for (PageId page = 0; page < total; ++page) {
    const auto found = held.find(page);
    ASSERT_EQ(pool.holders(page), found == held.end() ? 0 : found->second) << page;
  }
}

TEST(PagePoolTest, AgreesWithACountPerPage) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const std::int64_t total = random.between(1, 40);
    PagePool pool(total);
    std::map<PageId, std::int32_t> held;
    for (int step = 0; step < 600; ++step) {
      const std::int64_t action = random.below(3);
      if (action == 0 && static_cast<std::int64_t>(held.size()) < total) {
        const PageId page = pool.take();
        ASSERT_GE(page, 0);
        ASSERT_LT(page, total);
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
  for (int i = 0; i < 100; ++i) pages.insert(pool.take());
  EXPECT_EQ(pages.size(), 100U);
  EXPECT_EQ(pool.free_pages(), 0);
}

TEST(PagePoolTest, NoPagesAtAll) {
  const PagePool pool(0);
  EXPECT_EQ(pool.free_pages(), 0);
  EXPECT_EQ(pool.used_pages(), 0);
}

TEST(PagePoolDeathTest, MisuseEndsTheProcess) {
  PagePool pool(1);
  EXPECT_DEATH(pool.release(0), "page 0");
  EXPECT_DEATH(pool.share(0), "page 0");
  pool.take();
  EXPECT_DEATH(pool.take(), "free_");
}

}  // namespace
}  // namespace precis::test
