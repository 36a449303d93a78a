// A step's inputs on the device.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/attention_args.h"
#include "device/device.h"
#include "model/step_inputs.h"

namespace precis {

// One copy to the device a step. Where an input lies follows from the numbers of rows, runs, picks, logits and draws;
// only page tables, which come last, move with their own sizes, and runs point to them. How many pages a step's
// sequences have together is bounded by no number that is known before (they may share), so the memory grows, and by
// doubling: it comes to rest after few steps. Used by one thread at a time; the device outlives it.
class DeviceInputs {
 public:
  explicit DeviceInputs(Device& device);

  // The inputs may change after the call, and operations called before it still read what was loaded before. `drawn`:
  // for each logit row of the step before, where its id lies among those that it draws.
  void load(const StepInputs& inputs, std::span<const std::int32_t> drawn);

  // All of these are device memory and valid until the next load.
  const std::int32_t* ids() const { return ids_; }  // as EmbedArgs::ids
  const std::int32_t* positions() const { return positions_; }
  const std::int32_t* logit_rows() const { return logit_rows_; }
  const DrawOptions* draws() const { return draws_; }
  const RowBounds* bounds(std::size_t rule) const { return bounds_[rule]; }
  const std::int64_t* slots(std::size_t group) const { return slots_[group]; }
  const RowRun* runs(std::size_t group) const { return runs_[group]; }
  // The same runs in host memory, with tables in device memory.
  std::span<const RowRun> host_runs(std::size_t group) const { return host_runs_[group]; }

  std::span<const PickRun> host_picks(std::size_t group) const { return host_picks_[group]; }
  const PickRun* picks(std::size_t group) const { return picks_[group]; }

  // Where all of them begin.
  const std::byte* base() const { return memory_.as(); }
  std::int64_t bytes() const { return memory_.bytes(); }

 private:
  // Room behind what is packed so far, of which the device address is returned.
  template <typename T>
  const T* take(std::size_t count);
  // The same with `items` in it.
  template <typename T>
  const T* pack(std::span<const T> items);
  // `items`, whose room was taken at `at` before their tables were placed.
  template <typename T>
  void fill(const T* at, std::span<const T> items);
  void place_table(TrackPages& track);
  void reserve(std::int64_t bytes);

  Device& device_;
  Buffer memory_;
  std::vector<std::byte> packed_;  // as it lies in memory_
  const std::int32_t* ids_ = nullptr;
  const std::int32_t* positions_ = nullptr;
  const std::int32_t* logit_rows_ = nullptr;
  const DrawOptions* draws_ = nullptr;
  std::vector<const RowBounds*> bounds_;        // [rules]
  std::vector<const std::int64_t*> slots_;      // [groups]
  std::vector<const RowRun*> runs_;             // [groups]
  std::vector<std::vector<RowRun>> host_runs_;  // [groups]
  std::vector<const PickRun*> picks_;           // [groups]
  std::vector<std::vector<PickRun>> host_picks_;
};

}  // namespace precis
