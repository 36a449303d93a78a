#include "kv/page_pool.h"

#include <numeric>

#include "base/checked.h"

namespace precis {

PagePool::PagePool(std::int64_t near_pages, std::int64_t far_pages)
    : total_{near_pages, far_pages}, holders_(static_cast<std::size_t>(narrow<PageId>(total_.all())), 0) {
  // Descending, so that the lowest pages go first and neighbours in a sequence are neighbours in memory.
  PageId first = 0;
  for (const PageKind kind : {PageKind::near, PageKind::far}) {
    std::vector<PageId>& free = free_of(kind);
    free.resize(static_cast<std::size_t>(total_.of(kind)));
    std::iota(free.rbegin(), free.rend(), first);
    first += static_cast<PageId>(free.size());
  }
}

PageId PagePool::take(PageKind kind) {
  std::vector<PageId>& free = free_of(kind);
  PRECIS_CHECK(!free.empty());
  const PageId page = free.back();
  free.pop_back();
  holders_[static_cast<std::size_t>(page)] = 1;
  return page;
}

void PagePool::share(PageId page) {
  PRECIS_CHECK(holders(page) > 0, "page {}", page);
  ++holders_[static_cast<std::size_t>(page)];
}

void PagePool::release(PageId page) {
  PRECIS_CHECK(holders(page) > 0, "page {}", page);
  if (--holders_[static_cast<std::size_t>(page)] == 0) free_of(kind_of(page)).push_back(page);
}

}  // namespace precis
