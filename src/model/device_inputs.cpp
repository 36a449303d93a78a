#include "model/device_inputs.h"

#include <algorithm>
#include <cstring>

#include "device/ops.h"

namespace precis {
namespace {

constexpr std::int64_t least_bytes = 64 << 10;
// Of every input.
constexpr std::size_t alignment = 16;

template <typename T>
std::size_t room_for(std::size_t count) {
  return (count * sizeof(T) + alignment - 1) / alignment * alignment;
}

template <typename T>
std::size_t room_for(const std::vector<T>& items) {
  return room_for<T>(items.size());
}

std::size_t room_for(const StepInputs& inputs) {
  std::size_t bytes =
      room_for(inputs.ids) + room_for(inputs.positions) + room_for(inputs.logit_rows) + room_for(inputs.draws);
  for (const auto& bounds : inputs.bounds) bytes += room_for(bounds);
  for (const auto& slots : inputs.slots) bytes += room_for(slots);
  for (const auto& runs : inputs.runs) {
    bytes += room_for(runs);
    for (const RowRun& run : runs) {
      bytes += room_for<std::int32_t>(static_cast<std::size_t>(run.text.count)) +
               room_for<std::int32_t>(static_cast<std::size_t>(run.summary.count));
    }
  }
  for (const auto& picks : inputs.picks) {
    bytes += room_for(picks);
    for (const PickRun& pick : picks) bytes += room_for<std::int32_t>(static_cast<std::size_t>(pick.track.count));
  }
  return bytes;
}

}  // namespace

DeviceInputs::DeviceInputs(Device& device) : device_(device) {
  reserve(least_bytes);
}

void DeviceInputs::reserve(std::int64_t bytes) {
  if (bytes <= memory_.bytes()) return;
  // The old memory is dropped: see Device::allocate for who may still read it.
  memory_ = device_.allocate(std::max({bytes, 2 * memory_.bytes(), least_bytes}));
}

void DeviceInputs::load(const StepInputs& inputs, std::span<const std::int32_t> drawn) {
  const std::size_t bytes = room_for(inputs);
  reserve(static_cast<std::int64_t>(bytes));
  packed_.clear();
  packed_.reserve(bytes);
  ids_ = pack(std::span(inputs.ids));
  auto* ids = reinterpret_cast<std::int32_t*>(packed_.data());  // the first of all
  for (std::int64_t row = 0; row < inputs.rows(); ++row) {
    if (ids[row] < 0) ids[row] = -1 - drawn[static_cast<std::size_t>(-1 - ids[row])];
  }
  positions_ = pack(std::span(inputs.positions));
  logit_rows_ = pack(std::span(inputs.logit_rows));
  draws_ = pack(std::span(inputs.draws));
  bounds_.clear();
  for (const auto& bounds : inputs.bounds) bounds_.push_back(pack(std::span(bounds)));
  slots_.clear();
  for (const auto& slots : inputs.slots) slots_.push_back(pack(std::span(slots)));
  runs_.clear();
  for (const auto& runs : inputs.runs) runs_.push_back(take<RowRun>(runs.size()));
  picks_.clear();
  for (const auto& picks : inputs.picks) picks_.push_back(take<PickRun>(picks.size()));
  host_runs_ = inputs.runs;
  for (std::size_t group = 0; group < host_runs_.size(); ++group) {
    for (RowRun& run : host_runs_[group]) {
      place_table(run.text);
      place_table(run.summary);
    }
    fill(runs_[group], std::span<const RowRun>(host_runs_[group]));
  }
  host_picks_ = inputs.picks;
  for (std::size_t group = 0; group < host_picks_.size(); ++group) {
    for (PickRun& pick : host_picks_[group]) place_table(pick.track);
    fill(picks_[group], std::span<const PickRun>(host_picks_[group]));
  }
  device_.ops().to_device(memory_.as(), packed_.data(), static_cast<std::int64_t>(packed_.size()));
}

template <typename T>
const T* DeviceInputs::take(std::size_t count) {
  const std::byte* at = base() + packed_.size();
  packed_.resize(packed_.size() + room_for<T>(count));
  return reinterpret_cast<const T*>(at);
}

template <typename T>
const T* DeviceInputs::pack(std::span<const T> items) {
  const std::size_t at = packed_.size();
  const T* on_device = take<T>(items.size());
  if (!items.empty()) std::memcpy(packed_.data() + at, items.data(), items.size_bytes());
  return on_device;
}

template <typename T>
void DeviceInputs::fill(const T* at, std::span<const T> items) {
  const auto offset = reinterpret_cast<const std::byte*>(at) - base();
  if (!items.empty()) std::memcpy(packed_.data() + offset, items.data(), items.size_bytes());
}

void DeviceInputs::place_table(TrackPages& track) {
  if (track.count == 0) return;
  track.pages = pack(std::span(track.pages, static_cast<std::size_t>(track.count)));
}

}  // namespace precis
