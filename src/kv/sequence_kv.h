// All pages of one sequence: for each group a text track and a summary track.
#pragma once

#include <cstdint>
#include <vector>

#include "kv/kv_geometry.h"
#include "kv/page_table.h"

namespace precis {

// Entries that a step will write, the same in every group.
struct KvWrite {
  std::int64_t text_from = 0;
  std::int64_t text_to = 0;
  std::int64_t summary_from = 0;
  std::int64_t summary_to = 0;
};

// Entries below which a group's tracks are not seen any more.
struct KvTrim {
  std::int64_t text_from = 0;
  std::int64_t summary_from = 0;
};

// Used by the engine's thread alone. Gives its pages back when it is destroyed. The geometry and the pool outlive it.
class SequenceKv {
 public:
  SequenceKv(const KvGeometry& geometry, PagePool& pool);
  ~SequenceKv();
  SequenceKv(SequenceKv&&) noexcept = default;
  SequenceKv& operator=(SequenceKv&& other) noexcept;

  // Pages that must be free for `write`.
  PageCounts pages_to_write(const KvWrite& write) const;
  // Makes the entries of `write` writable by this sequence alone; the pool must have pages_to_write() free. Copies that
  // must happen before the write are appended.
  void prepare(const KvWrite& write, std::vector<PageCopy>& copies);
  // Takes pages for the entries of `write` in one group, whose tracks hold none; the pool must have them free.
  void take(std::size_t group, const KvWrite& write);
  // Gives back what no later row of the sequence can see.
  void trim(std::size_t group, const KvTrim& trim);
  // Gives back pages at the end, so that at most so many entries remain.
  void truncate(std::int64_t text, std::int64_t summaries);
  void release();
  // Another holder of the same pages.
  SequenceKv share() const;

  const PageTable& text(std::size_t group) const { return tracks_[group].text; }
  const PageTable& summary(std::size_t group) const { return tracks_[group].summary; }
  std::size_t groups() const { return tracks_.size(); }
  PageCounts pages() const;
  const PagePool& pool() const { return *pool_; }

 private:
  struct Tracks {
    PageTable text;
    PageTable summary;
  };

  explicit SequenceKv(PagePool& pool) : pool_(&pool) {}

  PagePool* pool_;
  std::vector<Tracks> tracks_;  // [groups]
};

}  // namespace precis
