// How decoded rows that may have picked go through their entries. Of what such a row attends to most is known before
// it has chosen: the first entries, the last ones of what it chooses from, and its text. A warp takes its share of
// these first, which it can while the kernel that chooses still runs, and then what was chosen.
#pragma once

#include "backend/cuda/attention_decode.cuh"
#include "backend/cuda/select_view.cuh"

namespace precis::cuda {

// Stretches of a row that has picked, at most. All warps of so many take about equally much, so that blocks for 8 KV
// heads are what 124 processors hold at once: they need not wait for the 8 that are busy choosing.
constexpr int picked_stretches = 31;

// How the entries of a row that has picked are cut: those of its list that are known before, then its text, 16 at a
// time to all warps of all stretches in turn; and the same with what was chosen. A function of the row alone.
struct PickedCut {
  // `high`: of the list, whose first entries are seen.
  __device__ PickedCut(const PickRun& run, const RowBounds& of)
      : initial(min(run.initial, of.summary.high)),
        chosen(min(chosen_of(run), of.summary.high)),
        high(of.summary.high),
        text(of.text) {
    const int text_units = text.low < text.high ? units(text.high) - text.low / warp_entries : 0;
    known_units = units(initial) + units(high - chosen) + text_units;
    chosen_units = units(chosen - initial);
    count = min(picked_stretches, (max(known_units, chosen_units) + split_warps - 1) / split_warps);
  }

  // The 16 entries, or some of them, that are known before and come at this place.
  __device__ WarpEntries known(int unit) const {
    if (unit < units(initial)) return {{0, initial}, unit * warp_entries, true};
    unit -= units(initial);
    if (unit < units(high - chosen)) return {{chosen, high}, chosen + unit * warp_entries, true};
    unit -= units(high - chosen);
    return {text, (text.low / warp_entries + unit) * warp_entries, false};
  }
  __device__ WarpEntries chosen_ones(int unit) const {
    return {{initial, chosen}, initial + unit * warp_entries, true};
  }

  static __device__ int units(int entries) { return (entries + warp_entries - 1) / warp_entries; }

  // Of the list: [initial, chosen) were chosen.
  int initial;
  int chosen;
  int high;
  Bounds text;
  int known_units;
  int chosen_units;
  int count;  // of stretches
};

// As WarpWalk, of a row that has picked.
class PickedWalk {
 public:
  // `waits`: the kernel that chooses may still run.
  __device__ PickedWalk(const PickedCut& cut, int slot, int slots, bool waits)
      : cut_(cut), slots_(slots), stretch_(slot), pending_(waits) {
    enter(false);
  }

  __device__ const WarpEntries& entries() const { return entries_; }
  __device__ int stretch() const { return stretch_; }
  __device__ int count() const { return cut_.count; }
  __device__ bool waits() const { return pending_ && of_chosen_; }
  __device__ void wait() {
    if (pending_) wait_for_previous();
    pending_ = false;
  }

  __device__ void advance() {
    unit_ += split_warps * cut_.count;
    if (unit_ < units()) return take();
    if (of_chosen_) stretch_ += slots_;
    enter(!of_chosen_);
  }

 private:
  __device__ int units() const { return of_chosen_ ? cut_.chosen_units : cut_.known_units; }
  __device__ void take() { entries_ = of_chosen_ ? cut_.chosen_ones(unit_) : cut_.known(unit_); }

  // To this warp's first entries of one kind in this stretch or, where it has none, to the next ones.
  __device__ void enter(bool of_chosen) {
    for (of_chosen_ = of_chosen; stretch_ < cut_.count; of_chosen_ = !of_chosen_) {
      unit_ = split_warps * stretch_ + static_cast<int>(threadIdx.x) / warp_lanes;
      if (unit_ < units()) return take();
      if (of_chosen_) stretch_ += slots_;
    }
    of_chosen_ = false;
    entries_ = {{0, 0}, 0, false};
  }

  PickedCut cut_;
  int slots_;
  int stretch_;
  int unit_ = 0;
  bool pending_;
  bool of_chosen_ = false;
  WarpEntries entries_{};
};

// Addresses of 16 entries' keys, each looked up by one lane.
class LaneKeys {
 public:
  template <typename KeyAt>
  __device__ LaneKeys(const WarpEntries& entries, const KeyAt& key_at) {
    const int entry = entries.first + static_cast<int>(threadIdx.x) % warp_entries;
    if (entries.sees(entry)) key_ = reinterpret_cast<std::uintptr_t>(key_at(entry));
  }

  __device__ const std::byte* at(int index, bool) const {
    return reinterpret_cast<const std::byte*>(__shfl_sync(all_lanes, key_, index));
  }

 private:
  std::uintptr_t key_ = 0;
};

// Both tracks of a row that may have picked: the summary track is what was picked, where it is or in pages of its own.
class PickedTracks {
 public:
  __device__ PickedTracks(const AttentionBatch& batch, const AttentionPiece& piece, const RowRun& run, int kv_head)
      : text_(batch, run.text, kv_head),
        summary_(summary_keys(batch, run, kv_head)),
        queries_differ_(run.picked && batch.picked_q != nullptr) {
    if (!run.picked || batch.picked_list == nullptr) return;
    const PickRun& pick = batch.picks[piece.pick];
    list_ = batch.picked_list + pick.first_page * batch.kv.page_entries;
    initial_ = pick.initial;
    chosen_ = chosen_of(pick);
    local_ = pick.local;
    summary_ = TrackKeys(batch, pick.track, kv_head);
  }

  __device__ LaneKeys keys(const WarpEntries& entries) const {
    if (!entries.summary) return {entries, [&](int entry) { return text_.key(entry); }};
    return {entries, [&](int index) { return summary_.key(list_ != nullptr ? listed(index) : index); }};
  }
  __device__ bool queries_differ() const { return queries_differ_; }

 private:
  // Reads the list where it is not known before what it says: nothing else may be read of it so early.
  __device__ int listed(int index) const {
    if (index < initial_) return index;
    return index < chosen_ ? list_[index] : local_ + index - chosen_;
  }

  TrackKeys text_;
  TrackKeys summary_;
  const std::int32_t* list_ = nullptr;  // entries of the track; none: what is seen
  int initial_ = 0;                     // of the list: PickedCut
  int chosen_ = 0;
  int local_ = 0;
  bool queries_differ_;
};

}  // namespace precis::cuda
