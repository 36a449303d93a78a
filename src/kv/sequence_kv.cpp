#include "kv/sequence_kv.h"

namespace precis {

SequenceKv::SequenceKv(const KvGeometry& geometry, PagePool& pool) : pool_(&pool) {
  tracks_.reserve(geometry.groups.size());
  for (std::size_t group = 0; group < geometry.groups.size(); ++group) {
    tracks_.push_back({PageTable(geometry.page_entries), PageTable(geometry.page_entries)});
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

std::int64_t SequenceKv::pages_to_write(const KvWrite& write) const {
  std::int64_t pages = 0;
  for (const Tracks& tracks : tracks_) {
    pages += tracks.text.pages_to_write(*pool_, write.text_from, write.text_to);
    pages += tracks.summary.pages_to_write(*pool_, write.summary_from, write.summary_to);
  }
  return pages;
}

void SequenceKv::prepare(const KvWrite& write, std::vector<PageCopy>& copies) {
  for (Tracks& tracks : tracks_) {
    tracks.text.prepare(*pool_, write.text_from, write.text_to, copies);
    tracks.summary.prepare(*pool_, write.summary_from, write.summary_to, copies);
  }
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

std::int64_t SequenceKv::pages() const {
  std::size_t pages = 0;
  for (const Tracks& tracks : tracks_) pages += tracks.text.pages().size() + tracks.summary.pages().size();
  return static_cast<std::int64_t>(pages);
}

}  // namespace precis
