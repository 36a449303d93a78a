// The end of a device.
#pragma once

#include "base/error.h"

namespace precis {

// What a device throws once it has failed for good: nothing that it is asked for afterwards can succeed. Memory may
// still be dropped.
class DeviceLost : public Error {
 public:
  using Error::Error;
};

}  // namespace precis
