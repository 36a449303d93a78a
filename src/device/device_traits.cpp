#include "device/device_traits.h"

#include "device/device.h"
#include "device/ops.h"

namespace precis {

DeviceTraits traits_of(Device& device) {
  return {.own_memory = device.memory().has_value(),
          .selects = device.ops().selects(),
          .runs_asynchronously = device.ops().runs_asynchronously(),
          .goes_by_decoded = device.goes_by_decoded(),
          .device_overhead = device.overhead()};
}

}  // namespace precis
