#include "session/session_shape.h"

#include <algorithm>

#include "attention/selection.h"
#include "attention/visible_set.h"
#include "base/error.h"

namespace precis {
namespace {

// Parts that follow each other in memory become one.
class Parts {
 public:
  void add(std::byte* at, std::int64_t bytes) {
    if (bytes == 0) return;
    if (!parts_.empty() && parts_.back().at + parts_.back().bytes == at) {
      parts_.back().bytes += bytes;
    } else {
      parts_.push_back({at, bytes});
    }
  }
  std::vector<KvPart> take() { return std::move(parts_); }

 private:
  std::vector<KvPart> parts_;
};

// `filled`: entries of the page that are there.
void add_page(Parts& parts, const KvView& view, PageId page, std::int64_t filled) {
  const std::int64_t bytes = filled * view.head_dim * size_of(view.type);
  for (const std::int64_t side : {std::int64_t{0}, view.value_offset}) {
    if (filled == view.page_entries) {
      parts.add(view.keys(page) + side, view.kv_heads * bytes);
    } else {
      for (std::int64_t head = 0; head < view.kv_heads; ++head) parts.add(view.key(page, head, 0) + side, bytes);
    }
  }
}

}  // namespace

SessionShape::SessionShape(const ModelSpec& spec, const KvGeometry& geometry, const KvPlan& plan, std::int64_t tokens,
                           std::int64_t lowest, std::int64_t summarised)
    : geometry_(geometry) {
  for (std::size_t group = 0; group < geometry.groups.size(); ++group) {
    const LayerRule& rule = spec.rules[static_cast<std::size_t>(geometry.groups[group].rule)];
    const Chosen chosen = spec.esa ? chosen_in(*spec.esa, rule) : Chosen::none;
    const std::int64_t from = plan.kept_from(group, lowest).text_from;
    tracks_.push_back({group, false, from / geometry.page_entries, tokens, chosen == Chosen::texts});
    if (!keeps_summaries(rule)) continue;
    tracks_.push_back({group, true, 0, summarised * spec.chunk.summary, chosen == Chosen::summaries});
  }
}

std::int64_t SessionShape::entries_of(const Track& track) const {
  return std::max<std::int64_t>(0, track.end - track.first_page * geometry_.page_entries);
}

std::int64_t SessionShape::pages_of(const Track& track) const {
  return (entries_of(track) + geometry_.page_entries - 1) / geometry_.page_entries;
}

PageCounts SessionShape::pages() const {
  PageCounts pages;
  for (const Track& track : tracks_) {
    const PageKind kind = track.summaries ? PageKind::near : geometry_.groups[track.group].text_pages;
    pages.of(kind) += pages_of(track);
  }
  return pages;
}

std::int64_t SessionShape::bytes() const {
  std::int64_t bytes = 0;
  for (const Track& track : tracks_) {
    const std::int64_t entry = geometry_.entry_bytes() + (track.chosen ? geometry_.short_bytes() : 0);
    bytes += geometry_.layers_per_group() * entries_of(track) * entry;
  }
  return bytes;
}

void SessionShape::take(SequenceKv& kv) const {
  std::vector<KvWrite> writes(geometry_.groups.size());
  for (const Track& track : tracks_) {
    if (pages_of(track) == 0) continue;
    KvWrite& write = writes[track.group];
    (track.summaries ? write.summary_from : write.text_from) = track.first_page * geometry_.page_entries;
    (track.summaries ? write.summary_to : write.text_to) = track.end;
  }
  for (std::size_t group = 0; group < writes.size(); ++group) kv.take(group, writes[group]);
}

std::vector<KvPart> SessionShape::parts(const SequenceKv& kv, const KvMemory& memory) const {
  Parts parts;
  for (const Track& track : tracks_) {
    const PageTable& table = track.summaries ? kv.summary(track.group) : kv.text(track.group);
    const auto count = static_cast<std::int64_t>(table.pages().size());
    PRECIS_CHECK(count == pages_of(track) && (count == 0 || table.first_page() == track.first_page),
                 "group {}: {} pages from {} on, not {} from {} on", track.group, count, table.first_page(),
                 pages_of(track), track.first_page);
    const auto filled = [&](std::int64_t index) {
      return std::min(geometry_.page_entries, entries_of(track) - index * geometry_.page_entries);
    };
    for (std::int64_t layer = 0; layer < geometry_.layers_per_group(); ++layer) {
      const KvView view = geometry_.view(memory, layer);
      for (std::int64_t i = 0; i < count; ++i) {
        add_page(parts, view, table.pages()[static_cast<std::size_t>(i)], filled(i));
      }
      if (!track.chosen) continue;
      for (std::int64_t i = 0; i < count; ++i) {
        parts.add(view.short_key(table.pages()[static_cast<std::size_t>(i)], 0), filled(i) * geometry_.short_bytes());
      }
    }
  }
  return parts.take();
}

}  // namespace precis
