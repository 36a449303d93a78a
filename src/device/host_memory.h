// Memory of devices whose operations read host memory. Shared by the host backends.
#pragma once

#include <cstdint>
#include <filesystem>

#include "device/device.h"
#include "tensor/tensor_view.h"

namespace precis {

// See Device::allocate. Zero pages of the system, given when they are first touched.
Buffer allocate_host(std::int64_t bytes);

// See Device::allocate_far: a mapping of `file`, which must not be there yet, or be empty. Its space on the disk is
// reserved, and its name taken away, at once. The system keeps in memory what there is room for.
Buffer allocate_far_host(std::int64_t bytes, const std::filesystem::path& file);

// See Device::adopt. The tensor's own memory, kept alive by its keeper; a copy only where it is misaligned for its
// type.
Buffer adopt_host(const HostTensor& tensor);

// Of this machine, in bytes.
std::int64_t installed_host_memory();
// What can still be had without swapping, in bytes, as the system estimates it.
std::int64_t available_host_memory();
// What a buffer of allocate_host() holds once its first `written` bytes are written: whole huge pages, where the system
// has some.
std::int64_t held_host_bytes(std::int64_t bytes, std::int64_t written);
inline std::int64_t held_host_bytes(std::int64_t bytes) {
  return held_host_bytes(bytes, bytes);
}
// Gives back to the system what this process has freed and its allocator keeps for later.
void give_back_freed_memory();
// What this process may hold at most: what is installed, or less where its control groups say so.
std::int64_t host_memory_limit();

}  // namespace precis
