// Host memory for many tensors side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace precis {

// Tensors of a few megabytes each, allocated one by one, would hardly ever fill a huge page, and reading weights costs
// a walk of the page tables every 4 KiB then (on a virtual machine: 15 instead of 23 GB/s). Here they share large
// mappings. A mapping lives as long as any of its tensors; what was allocated last and is freed first is used again.
// Allocates for one thread at a time; tensors may be freed by any.
class HostArena {
 public:
  HostArena();
  ~HostArena();

  // Address space taken at a time, of which only what is touched takes memory.
  static constexpr std::int64_t mapping_bytes = std::int64_t{256} << 20;

  // `bytes` of memory aligned to 64, contents undefined. Throws Error when the machine has not so much.
  std::shared_ptr<std::byte> allocate(std::int64_t bytes);

 private:
  class Mapping;
  std::shared_ptr<Mapping> current_;
};

}  // namespace precis
