#include "model/device_runs.h"

#include <algorithm>
#include <cstring>

#include "device/ops.h"

namespace precis {
namespace {

constexpr std::int64_t least_bytes = 64 << 10;
// RowRun holds pointers and begins at a multiple of their size, a table at a multiple of its entries' size.
constexpr std::size_t alignment = alignof(RowRun);

std::size_t table_bytes(const TrackPages& track) {
  const auto bytes = static_cast<std::size_t>(track.count) * sizeof(std::int32_t);
  return (bytes + alignment - 1) / alignment * alignment;
}

}  // namespace

DeviceRuns::DeviceRuns(Device& device) : device_(device) {
  reserve(least_bytes);
}

void DeviceRuns::reserve(std::int64_t bytes) {
  if (bytes <= memory_.bytes()) return;
  // The old memory is dropped: see Device::allocate for who may still read it.
  memory_ = device_.allocate(std::max({bytes, 2 * memory_.bytes(), least_bytes}));
}

void DeviceRuns::load(const std::vector<std::vector<RowRun>>& runs) {
  std::size_t bytes = 0;
  for (const std::vector<RowRun>& group : runs) {
    bytes += group.size() * sizeof(RowRun);
    for (const RowRun& run : group) bytes += table_bytes(run.text) + table_bytes(run.summary);
  }
  reserve(static_cast<std::int64_t>(bytes));
  packed_.resize(bytes);
  used_ = 0;
  groups_.resize(runs.size());
  // Runs in front: where they lie depends on how many there are, not on their tables.
  for (std::size_t group = 0; group < runs.size(); ++group) {
    groups_[group].on_device = reinterpret_cast<const RowRun*>(memory_.as() + used_);
    used_ += runs[group].size() * sizeof(RowRun);
  }
  std::size_t at = 0;
  for (std::size_t group = 0; group < runs.size(); ++group) {
    pack_tables(runs[group], groups_[group]);
    std::memcpy(packed_.data() + at, groups_[group].runs.data(), runs[group].size() * sizeof(RowRun));
    at += runs[group].size() * sizeof(RowRun);
  }
  device_.ops().to_device(memory_.as(), packed_.data(), static_cast<std::int64_t>(bytes));
}

void DeviceRuns::pack_tables(const std::vector<RowRun>& runs, Group& group) {
  const auto place = [&](TrackPages& track) {
    if (track.count == 0) return;
    std::memcpy(packed_.data() + used_, track.pages, static_cast<std::size_t>(track.count) * sizeof(std::int32_t));
    track.pages = reinterpret_cast<const std::int32_t*>(memory_.as() + used_);
    used_ += table_bytes(track);
  };
  group.runs = runs;
  for (RowRun& run : group.runs) {
    place(run.text);
    place(run.summary);
  }
}

}  // namespace precis
