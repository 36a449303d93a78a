// Runs that pick, and where their k' lie, for the kernels of selective attention.
#pragma once

#include "backend/cuda/kv_address.cuh"
#include "backend/cuda/numbers.cuh"
#include "device/select_args.h"

namespace precis::cuda {

__device__ inline int middle_of(const PickRun& run) {
  return run.local - run.initial;
}
__device__ inline int chosen_of(const PickRun& run) {
  return run.initial + run.top;
}
__device__ inline int count_of(const PickRun& run) {
  return chosen_of(run) + run.end - run.local;
}

// An entry's place in pages.
struct EntryPlace {
  __device__ EntryPlace(const TrackPages& track, const KvView& kv, int entry) {
    const auto page_entries = static_cast<unsigned>(kv.page_entries);
    const unsigned in_track = static_cast<unsigned>(entry) / page_entries;
    page = __ldg(track.pages + (in_track - static_cast<unsigned>(track.first_page)));
    in_page = static_cast<int>(static_cast<unsigned>(entry) - in_track * page_entries);
  }

  std::int64_t page;
  int in_page;
};

template <typename Element>
__device__ inline const Element* short_key_of(const KvView& kv, const EntryPlace& at) {
  return short_key<Element>(kv, at.page, at.in_page);
}

// What is no number counts as minus infinity.
__device__ inline float number(float value) {
  return isnan(value) ? -INFINITY : value;
}

}  // namespace precis::cuda
