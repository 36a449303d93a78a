#include "backend/cpu/far_reader.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utility>

namespace precis::cpu {

bool FarReader::reads() {
  rusage usage{};
  // Not its faults: pages of the file that are written for the first time count among these.
  return getrusage(RUSAGE_SELF, &usage) == 0 && std::exchange(blocks_, usage.ru_inblock) != usage.ru_inblock;
}

void FarReader::fetch(const KvView& kv, const TrackPages& track, std::span<const std::int32_t> entries) {
  static const auto memory_page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  std::int64_t last = -1;
  for (const std::int32_t entry : entries) {
    const std::int64_t page = track.pages[entry / kv.page_entries - track.first_page];
    if (page < kv.near_pages || page == last) continue;
    last = page;
    // All of the layer's K and V in the page: they lie side by side, and heads of an entry far apart.
    const auto first = reinterpret_cast<std::uintptr_t>(kv.keys(page));
    const std::uintptr_t begin = first / memory_page * memory_page;
    const std::uintptr_t end = first + 2 * static_cast<std::uintptr_t>(kv.value_offset);
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);  // a hint: nothing is lost where it fails
  }
}

}  // namespace precis::cpu
