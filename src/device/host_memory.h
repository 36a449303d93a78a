// Memory of devices whose operations read host memory. Shared by the host backends.
#pragma once

#include <cstdint>

#include "device/device.h"
#include "tensor/tensor_view.h"

namespace precis {

// See Device::allocate. Zero pages of the system, given when they are first touched.
Buffer allocate_host(std::int64_t bytes);

// See Device::adopt. The tensor's own memory, kept alive by its keeper; a copy only where it is misaligned for its
// type.
Buffer adopt_host(const HostTensor& tensor);

// Of this machine, in bytes.
std::int64_t installed_host_memory();
// What can still be had without swapping, in bytes, as the system estimates it.
std::int64_t available_host_memory();

}  // namespace precis
