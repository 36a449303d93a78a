#include "kv/page_table.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/error.h"

namespace precis {

PageTable::~PageTable() {
  PRECIS_CHECK(pages_.empty(), "{} pages were not given back", pages_.size());
}

PageTable::PageTable(PageTable&& other) noexcept
    : page_entries_(other.page_entries_),
      kind_(other.kind_),
      first_page_(other.first_page_),
      pages_(std::exchange(other.pages_, {})) {}

PageTable& PageTable::operator=(PageTable&& other) noexcept {
  PRECIS_CHECK(pages_.empty());
  page_entries_ = other.page_entries_;
  kind_ = other.kind_;
  first_page_ = other.first_page_;
  pages_ = std::exchange(other.pages_, {});
  return *this;
}

std::int64_t PageTable::pages_to_write(const PagePool& pool, std::int64_t from, std::int64_t to) const {
  if (from >= to) return 0;
  const std::int64_t last = (to - 1) / page_entries_ + 1;
  if (pages_.empty()) return last - from / page_entries_;
  const bool copied = from < end_page() * page_entries_ &&
                      pool.holders(pages_[static_cast<std::size_t>(from / page_entries_ - first_page_)]) > 1;
  return std::max<std::int64_t>(0, last - end_page()) + (copied ? 1 : 0);
}

void PageTable::prepare(PagePool& pool, std::int64_t from, std::int64_t to, std::vector<PageCopy>& copies) {
  if (from >= to) return;
  if (pages_.empty()) {
    first_page_ = from / page_entries_;
  } else {
    PRECIS_CHECK(from >= first_page_ * page_entries_ && from <= end_page() * page_entries_, "entry {}", from);
    own_page_of(pool, from, copies);
  }
  while (end_page() * page_entries_ < to) pages_.push_back(pool.take(kind_));
}

void PageTable::own_page_of(PagePool& pool, std::int64_t entry, std::vector<PageCopy>& copies) {
  // Entries are appended only: none but the first entry's page can be both held and written.
  if (entry == end_page() * page_entries_) return;
  PageId& page = pages_[static_cast<std::size_t>(entry / page_entries_ - first_page_)];
  if (pool.holders(page) == 1) return;
  const PageId own = pool.take(kind_);
  copies.push_back({page, own});
  pool.release(page);
  page = own;
}

void PageTable::trim(PagePool& pool, std::int64_t from) {
  const std::int64_t below = std::min(from / page_entries_, end_page()) - first_page_;
  if (below <= 0) return;
  const auto end = pages_.begin() + static_cast<std::ptrdiff_t>(below);
  // Backwards, as truncate() does: whoever takes them next has them in the order in which they lie.
  std::for_each(std::make_reverse_iterator(end), pages_.rend(), [&](PageId page) { pool.release(page); });
  pages_.erase(pages_.begin(), end);
  first_page_ += below;
}

void PageTable::truncate(PagePool& pool, std::int64_t to) {
  const std::int64_t kept = (to + page_entries_ - 1) / page_entries_;
  while (!pages_.empty() && end_page() > kept) {
    pool.release(pages_.back());
    pages_.pop_back();
  }
}

void PageTable::release(PagePool& pool) {
  truncate(pool, 0);
}

PageTable PageTable::share(PagePool& pool) const {
  PageTable other(page_entries_, kind_);
  other.first_page_ = first_page_;
  other.pages_ = pages_;
  for (const PageId page : pages_) pool.share(page);
  return other;
}

std::int64_t PageTable::slot(std::int64_t entry) const {
  const std::int64_t index = entry / page_entries_ - first_page_;
  PRECIS_CHECK(index >= 0 && index < static_cast<std::int64_t>(pages_.size()), "entry {}", entry);
  return pages_[static_cast<std::size_t>(index)] * page_entries_ + entry % page_entries_;
}

}  // namespace precis
