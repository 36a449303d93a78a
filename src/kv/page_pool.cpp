#include "kv/page_pool.h"

#include <numeric>

#include "base/checked.h"

namespace precis {

PagePool::PagePool(std::int64_t pages)
    : holders_(static_cast<std::size_t>(pages), 0), free_(static_cast<std::size_t>(narrow<PageId>(pages))) {
  // Descending, so that the lowest pages go first and neighbours in a sequence are neighbours in memory.
  std::iota(free_.rbegin(), free_.rend(), 0);
}

PageId PagePool::take() {
  PRECIS_CHECK(!free_.empty());
  const PageId page = free_.back();
  free_.pop_back();
  holders_[static_cast<std::size_t>(page)] = 1;
  return page;
}

void PagePool::share(PageId page) {
  PRECIS_CHECK(holders(page) > 0, "page {}", page);
  ++holders_[static_cast<std::size_t>(page)];
}

void PagePool::release(PageId page) {
  PRECIS_CHECK(holders(page) > 0, "page {}", page);
  if (--holders_[static_cast<std::size_t>(page)] == 0) free_.push_back(page);
}

}  // namespace precis
