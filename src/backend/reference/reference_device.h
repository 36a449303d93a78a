// The oracle: one thread, scalar, sums in double, written to be read beside the equations.
#pragma once

#include <memory>

#include "device/device.h"

namespace precis::reference {

std::unique_ptr<Device> open_reference();

}  // namespace precis::reference
