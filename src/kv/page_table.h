// The pages of one track (text or summaries) of one group for one sequence: a row of pages without gaps, of which the
// front may have been given back (a window) and whose ends may be shared with others.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/ops.h"
#include "kv/page_pool.h"

namespace precis {

// Holds its pages until release() or until moved from; a table must be empty when it is destroyed.
class PageTable {
 public:
  // All its pages are of one kind.
  explicit PageTable(std::int64_t page_entries, PageKind kind = PageKind::near)
      : page_entries_(page_entries), kind_(kind) {}
  ~PageTable();
  PageTable(PageTable&& other) noexcept;
  PageTable& operator=(PageTable&& other) noexcept;

  PageKind kind() const { return kind_; }
  // Pages that the pool must have free before entries [from, to) can be written: new ones, and one for a copy where
  // `from` lies in a page that others hold too.
  std::int64_t pages_to_write(const PagePool& pool, std::int64_t from, std::int64_t to) const;
  // Makes entries [from, to) writable by this table alone. Copies that must happen before the write are appended.
  void prepare(PagePool& pool, std::int64_t from, std::int64_t to, std::vector<PageCopy>& copies);
  // Gives back the pages whose entries are all below `from`.
  void trim(PagePool& pool, std::int64_t from);
  // Gives back the pages whose entries are all at or above `to`.
  void truncate(PagePool& pool, std::int64_t to);
  void release(PagePool& pool);
  // Another table that holds the same pages.
  PageTable share(PagePool& pool) const;

  // The page of the entries from (first_page() + i) * page_entries on is pages()[i].
  std::int64_t first_page() const { return first_page_; }
  std::span<const PageId> pages() const { return pages_; }
  // Where `entry`, which must be held, lies in the pool: page * page_entries + place in the page.
  std::int64_t slot(std::int64_t entry) const;

 private:
  void own_page_of(PagePool& pool, std::int64_t entry, std::vector<PageCopy>& copies);
  std::int64_t end_page() const { return first_page_ + static_cast<std::int64_t>(pages_.size()); }

  std::int64_t page_entries_;
  PageKind kind_;
  std::int64_t first_page_ = 0;
  std::vector<PageId> pages_;
};

}  // namespace precis
