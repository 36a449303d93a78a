// Which pages of the pool are free, and how many hold each of the others. Knows numbers, not memory.
#pragma once

#include <cstdint>
#include <vector>

namespace precis {

using PageId = std::int32_t;

// Used by the engine's thread alone.
class PagePool {
 public:
  explicit PagePool(std::int64_t pages);
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  // A free page, held once. There must be one: ask free_pages() first.
  PageId take();
  // One more holder of a held page.
  void share(PageId page);
  // One holder less; the last one frees the page.
  void release(PageId page);

  std::int32_t holders(PageId page) const { return holders_[static_cast<std::size_t>(page)]; }
  std::int64_t total_pages() const { return static_cast<std::int64_t>(holders_.size()); }
  std::int64_t free_pages() const { return static_cast<std::int64_t>(free_.size()); }
  std::int64_t used_pages() const { return total_pages() - free_pages(); }

 private:
  std::vector<std::int32_t> holders_;  // [pages]
  std::vector<PageId> free_;           // taken from the end: lately used memory first
};

}  // namespace precis
