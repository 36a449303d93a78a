// What is about to be read of far pages, on its way from the disk before somebody waits for it.
#pragma once

#include <cstdint>
#include <span>

#include "device/attention_args.h"

namespace precis::cpu {

// Far pages are a mapped file, of which the system keeps in memory what there is room for. Reading an entry that is not
// there stops a thread until the disk has answered; told of all entries at once, the disk can do many at a time.
// Telling it costs about as much as reading an entry in memory, so nothing is told while nothing comes from the disk.
class FarReader {
 public:
  // Whether this process has read from a disk since the last call, waited for or fetched. One thread.
  bool reads();
  // K and V of these entries of a track, in one layer, will be read. Any thread.
  static void fetch(const KvView& kv, const TrackPages& track, std::span<const std::int32_t> entries);

 private:
  std::int64_t blocks_ = 0;  // read by the process so far
};

}  // namespace precis::cpu
