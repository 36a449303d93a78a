// A step's runs with their page tables on the device.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/attention_args.h"
#include "device/device.h"

namespace precis {

// One copy to the device a step: the runs of all groups, and behind them the tables that they point into. How many
// pages a step's sequences have together is bounded by no number that is known before (they may share), so the memory
// grows, and by doubling: it comes to rest after few steps. Used by one thread at a time; the device outlives it.
class DeviceRuns {
 public:
  explicit DeviceRuns(Device& device);

  // `runs`: [groups], with page tables in host memory, which may change after the call.
  void load(const std::vector<std::vector<RowRun>>& runs);

  // The runs of a group as they were loaded last, with tables in device memory. Both are valid until the next load.
  std::span<const RowRun> on_host(std::size_t group) const { return groups_[group].runs; }
  const RowRun* on_device(std::size_t group) const { return groups_[group].on_device; }

  std::int64_t bytes() const { return memory_.bytes(); }

 private:
  struct Group {
    std::vector<RowRun> runs;
    const RowRun* on_device = nullptr;
  };

  void reserve(std::int64_t bytes);
  void pack_tables(const std::vector<RowRun>& runs, Group& group);

  Device& device_;
  Buffer memory_;
  std::vector<std::byte> packed_;  // as it lies in memory_
  std::size_t used_ = 0;           // of packed_
  std::vector<Group> groups_;
};

}  // namespace precis
