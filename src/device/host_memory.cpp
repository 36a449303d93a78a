#include "device/host_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/error.h"
#include "base/units.h"

namespace precis {

Buffer allocate_host(std::int64_t bytes) {
  PRECIS_CHECK(bytes >= 0, "{}", bytes);
  // NORESERVE promises anything, so that what the machine cannot hold at all is refused here.
  const double installed = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (static_cast<double>(bytes) > installed) {
    fail("cannot allocate {}: this machine has {} of memory", shown_bytes(static_cast<double>(bytes)),
         shown_bytes(installed));
  }
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1));
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    fail("cannot allocate {}: {}", shown_bytes(static_cast<double>(bytes)), std::strerror(errno));
  return Buffer(std::shared_ptr<void>(memory, [size](void* start) { munmap(start, size); }), bytes);
}

Buffer adopt_host(const HostTensor& tensor) {
  const std::int64_t bytes = tensor.view.bytes();
  const auto address = reinterpret_cast<std::uintptr_t>(tensor.view.data);
  if (address % static_cast<std::uintptr_t>(size_of(tensor.view.type)) == 0) {
    // Operations never write to what was adopted.
    auto* memory = const_cast<std::byte*>(tensor.view.data);
    const auto keeper = std::const_pointer_cast<void>(tensor.keeper);
    return Buffer(std::shared_ptr<void>(keeper, memory), bytes);
  }
  Buffer copy = allocate_host(bytes);
  std::memcpy(copy.as<std::byte>(), tensor.view.data, static_cast<std::size_t>(bytes));
  return copy;
}

}  // namespace precis
