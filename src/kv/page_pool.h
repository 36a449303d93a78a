// Which pages of the pool are free, and how many hold each of the others. Knows numbers, not memory.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace precis {

using PageId = std::int32_t;

// Where the K and V of a page lie: beside everything else that a device has, or in far memory (KvView).
enum class PageKind : std::uint8_t { near, far };

struct PageCounts {
  std::int64_t near = 0;
  std::int64_t far = 0;

  bool operator==(const PageCounts&) const = default;
  std::int64_t all() const { return near + far; }
  std::int64_t& of(PageKind kind) { return kind == PageKind::near ? near : far; }
  std::int64_t of(PageKind kind) const { return kind == PageKind::near ? near : far; }
  // Whether there are as many of each kind among `others`.
  bool within(const PageCounts& others) const { return near <= others.near && far <= others.far; }
  PageCounts& operator+=(const PageCounts& more) { return near += more.near, far += more.far, *this; }
  PageCounts operator-(const PageCounts& less) const { return {near - less.near, far - less.far}; }
};

// Used by the engine's thread alone.
class PagePool {
 public:
  // Far pages have the ids behind those of near pages.
  explicit PagePool(std::int64_t near_pages, std::int64_t far_pages = 0);
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  // A free page, held once. There must be one: ask free_pages() first.
  PageId take(PageKind kind);
  // One more holder of a held page.
  void share(PageId page);
  // One holder less; the last one frees the page.
  void release(PageId page);

  std::int32_t holders(PageId page) const { return holders_[static_cast<std::size_t>(page)]; }
  PageCounts total_pages() const { return total_; }
  PageCounts free_pages() const {
    return {static_cast<std::int64_t>(free_[0].size()), static_cast<std::int64_t>(free_[1].size())};
  }
  PageCounts used_pages() const { return total_ - free_pages(); }
  PageKind kind_of(PageId page) const { return page < total_.near ? PageKind::near : PageKind::far; }

 private:
  std::vector<PageId>& free_of(PageKind kind) { return free_[static_cast<std::size_t>(kind)]; }

  PageCounts total_;
  std::vector<std::int32_t> holders_;        // [pages]
  std::array<std::vector<PageId>, 2> free_;  // [PageKind]: taken from the end: lately used memory first
};

}  // namespace precis
