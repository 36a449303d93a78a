// What of a sequence's K and V goes into a session, and where that lies in a pool: the same entries in the same order
// for every pool with equal pages, so that what one has written another can read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kv/kv_geometry.h"
#include "kv/sequence_kv.h"
#include "memory/kv_plan.h"
#include "model/model_spec.h"

namespace precis {

// A piece of a pool's memory, which is a device's.
struct KvPart {
  std::byte* at = nullptr;
  std::int64_t bytes = 0;
};

// Of a snapshot. All follows from three numbers.
class SessionShape {
 public:
  // `lowest`: as PrefixSnapshot has it; windows begin where a sequence of that length needs them. `summarised`: chunks
  // whose summaries are there. The geometry outlives it.
  SessionShape(const ModelSpec& spec, const KvGeometry& geometry, const KvPlan& plan, std::int64_t tokens,
               std::int64_t lowest, std::int64_t summarised);

  PageCounts pages() const;
  // Of K, V and k' of all entries that are held; the last page of a track counts as far as it is filled.
  std::int64_t bytes() const;
  // Takes pages for all entries; `kv` has none, and the pool has pages() free.
  void take(SequenceKv& kv) const;
  // Where the bytes lie, in the order of the file: groups, in each the text and then the summaries, of each layer K and
  // V page by page, then, where its rows choose among this track, k'. `kv` holds exactly these entries.
  std::vector<KvPart> parts(const SequenceKv& kv, const KvMemory& memory) const;

 private:
  // Entries [first_page * page_entries, end) of one track.
  struct Track {
    std::size_t group = 0;
    bool summaries = false;
    std::int64_t first_page = 0;
    std::int64_t end = 0;
    bool chosen = false;  // has k'
  };

  std::int64_t pages_of(const Track& track) const;
  std::int64_t entries_of(const Track& track) const;

  const KvGeometry& geometry_;
  std::vector<Track> tracks_;
};

}  // namespace precis
