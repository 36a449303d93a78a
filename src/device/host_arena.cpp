#include "device/host_arena.h"

#include <algorithm>
#include <mutex>

#include "device/host_memory.h"

namespace precis {
namespace {

// As large as that fills huge pages by itself.
constexpr std::int64_t large = std::int64_t{32} << 20;
constexpr std::int64_t alignment = 64;

}  // namespace

class HostArena::Mapping {
 public:
  explicit Mapping(std::int64_t bytes) : memory_(allocate_host(bytes)) {}

  // Null when there is no room left.
  std::byte* take(std::int64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (bytes > memory_.bytes() - used_) return nullptr;
    std::byte* start = memory_.as<std::byte>() + used_;
    used_ += bytes;
    return start;
  }

  void give_back(const std::byte* start, std::int64_t bytes) {
    const std::lock_guard lock(mutex_);
    const std::int64_t offset = start - memory_.as<std::byte>();
    if (offset + bytes == used_) used_ = offset;
  }

 private:
  const Buffer memory_;
  std::mutex mutex_;
  std::int64_t used_ = 0;
};

HostArena::HostArena() = default;
HostArena::~HostArena() = default;

std::shared_ptr<std::byte> HostArena::allocate(std::int64_t bytes) {
  if (bytes >= large) {
    const auto own = std::make_shared<const Buffer>(allocate_host(bytes));
    return {own, own->as<std::byte>()};
  }
  const std::int64_t size = std::max((bytes + alignment - 1) / alignment * alignment, alignment);
  std::byte* start = current_ != nullptr ? current_->take(size) : nullptr;
  if (start == nullptr) {
    current_ = std::make_shared<Mapping>(std::min(mapping_bytes, installed_host_memory()));
    start = current_->take(size);
  }
  return {start, [mapping = current_, size](const std::byte* from) { mapping->give_back(from, size); }};
}

}  // namespace precis
