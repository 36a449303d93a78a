#include "kv/sequence_kv.h"

#include "base/error.h"

namespace precis {

SequenceKv::SequenceKv(const KvGeometry& geometry, PagePool& pool) : pool_(&pool) {
  tracks_.reserve(geometry.groups.size());
  for (const KvGroup& group : geometry.groups) {
    tracks_.push_back({PageTable(geometry.page_entries, group.text_pages), PageTable(geometry.page_entries)});
  }
}

SequenceKv::~SequenceKv() {
  release();
}

SequenceKv& SequenceKv::operator=(SequenceKv&& other) noexcept {
  if (this == &other) return *this;
  release();
  pool_ = other.pool_;
  tracks_ = std::move(other.tracks_);
  return *this;
}

PageCounts SequenceKv::pages_to_write(const KvWrite& write) const {
  PageCounts pages;
  for (const auto& [text, summary] : tracks_) {
    pages.of(text.kind()) += text.pages_to_write(*pool_, write.text_from, write.text_to);
    pages.of(summary.kind()) += summary.pages_to_write(*pool_, write.summary_from, write.summary_to);
  }
  return pages;
}

void SequenceKv::prepare(const KvWrite& write, std::vector<PageCopy>& copies) {
  for (Tracks& tracks : tracks_) {
    tracks.text.prepare(*pool_, write.text_from, write.text_to, copies);
    tracks.summary.prepare(*pool_, write.summary_from, write.summary_to, copies);
  }
}

void SequenceKv::take(std::size_t group, const KvWrite& write) {
  auto& [text, summary] = tracks_[group];
  PRECIS_CHECK(text.pages().empty() && summary.pages().empty(), "group {}", group);
  std::vector<PageCopy> none;
  text.prepare(*pool_, write.text_from, write.text_to, none);
  summary.prepare(*pool_, write.summary_from, write.summary_to, none);
}

void SequenceKv::trim(std::size_t group, const KvTrim& trim) {
  tracks_[group].text.trim(*pool_, trim.text_from);
  tracks_[group].summary.trim(*pool_, trim.summary_from);
}

void SequenceKv::truncate(std::int64_t text, std::int64_t summaries) {
  for (Tracks& tracks : tracks_) {
    tracks.text.truncate(*pool_, text);
    tracks.summary.truncate(*pool_, summaries);
  }
}

void SequenceKv::release() {
  for (Tracks& tracks : tracks_) {
    tracks.text.release(*pool_);
    tracks.summary.release(*pool_);
  }
}

SequenceKv SequenceKv::share() const {
  SequenceKv other(*pool_);
  other.tracks_.reserve(tracks_.size());
  for (const Tracks& tracks : tracks_) {
    other.tracks_.push_back({tracks.text.share(*pool_), tracks.summary.share(*pool_)});
  }
  return other;
}

PageCounts SequenceKv::pages() const {
  PageCounts pages;
  for (const auto& [text, summary] : tracks_) {
    for (const PageTable* table : {&text, &summary}) {
      pages.of(table->kind()) += static_cast<std::int64_t>(table->pages().size());
    }
  }
  return pages;
}

}  // namespace precis
