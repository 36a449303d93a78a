// What follows from where an engine computes, and can be told of a backend without opening it.
#pragma once

#include <cstdint>

namespace precis {

struct DeviceTraits {
  bool own_memory = false;           // Device::memory() says something
  bool selects = false;              // Ops::selects()
  bool runs_asynchronously = false;  // Ops::runs_asynchronously()
  bool goes_by_decoded = false;      // Device::goes_by_decoded()
  std::int64_t device_overhead = 0;  // Device::overhead()

  bool operator==(const DeviceTraits&) const = default;
};

class Device;
DeviceTraits traits_of(Device& device);

}  // namespace precis
