#include "device/host_memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>

#include "base/checked.h"
#include "base/error.h"
#include "base/units.h"

namespace precis {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;
// Above that memory is taken in huge pages: below, what they round up, and hold of what is never written to, is more
// than they spare.
constexpr std::int64_t small_bytes = std::int64_t{32} << 20;

// A new file that nobody finds by its name any more: it goes when it is closed and not mapped, whatever happens.
class NamelessFile {
 public:
  explicit NamelessFile(const std::filesystem::path& path) : path_(path) {
    file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (file_ < 0) fail("{}: cannot be created: {}", path.string(), std::strerror(errno));
    try {
      struct stat status {};
      if (::fstat(file_, &status) != 0) fail("{}: {}", path.string(), std::strerror(errno));
      if (!S_ISREG(status.st_mode)) fail("{}: not a regular file, expected a new one", path.string());
      if (status.st_size > 0) {
        fail("{}: {} are in it, expected a new file", path.string(), shown_bytes(static_cast<double>(status.st_size)));
      }
      ::unlink(path.c_str());
    } catch (...) {
      ::close(file_);
      throw;
    }
  }
  ~NamelessFile() { ::close(file_); }
  NamelessFile(const NamelessFile&) = delete;
  NamelessFile& operator=(const NamelessFile&) = delete;

  // So that the disk cannot be full when a page is written: that would be a signal.
  void reserve(std::int64_t bytes) const {
    const std::string wanted = shown_bytes(static_cast<double>(bytes));
    struct statvfs disk {};
    if (::fstatvfs(file_, &disk) != 0) fail("{}: {}", path_.string(), std::strerror(errno));
    const double free = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
    // Asked first: a reservation that fails may fill the disk on its way.
    bool fits = static_cast<double>(bytes) <= free;
    if (fits && ::fallocate(file_, 0, 0, bytes) == 0) return;
    if (fits && errno == ENOSPC) fits = false;
    if (!fits) fail("{}: no room for {}: {} are free on its disk", path_.string(), wanted, shown_bytes(free));
    // A file system without reservations.
    if (errno == EOPNOTSUPP && ::ftruncate(file_, bytes) == 0) return;
    fail("{}: cannot be made {} long: {}", path_.string(), wanted, std::strerror(errno));
  }

  void* map(std::size_t bytes) const {
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    if (memory == MAP_FAILED) fail("{}: cannot be mapped: {}", path_.string(), std::strerror(errno));
    return memory;
  }

 private:
  const std::filesystem::path path_;
  int file_;
};

}  // namespace

Buffer allocate_host(std::int64_t bytes) {
  PRECIS_CHECK(bytes >= 0, "{}", bytes);
  // NORESERVE promises anything, so that what the machine cannot hold at all is refused here.
  if (bytes > installed_host_memory()) {
    fail("cannot allocate {}: this machine has {} of memory", shown_bytes(static_cast<double>(bytes)),
         shown_bytes(static_cast<double>(installed_host_memory())));
  }
  // Huge pages where the system has some: what is read from many places far apart costs a walk of the page tables at
  // each. They begin at multiples of their size. Without them everything works as well.
  const bool huge = bytes > small_bytes;
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1));
  const std::size_t mapped = huge ? size + huge_page : size;
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    fail("cannot allocate {}: {}", shown_bytes(static_cast<double>(bytes)), std::strerror(errno));
  madvise(memory, mapped, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  const std::size_t past = reinterpret_cast<std::uintptr_t>(memory) % huge_page;
  const std::size_t skipped = huge && past != 0 ? huge_page - past : 0;
  return Buffer(std::shared_ptr<void>(static_cast<std::byte*>(memory) + skipped,
                                      [memory, mapped](void*) { munmap(memory, mapped); }),
                bytes);
}

Buffer allocate_far_host(std::int64_t bytes, const std::filesystem::path& file) {
  PRECIS_CHECK(bytes >= 0, "{}", bytes);
  if (file.empty()) fail("no FILE, expected one on this backend: K and V are offloaded to it");
  const NamelessFile nameless(file);
  const std::int64_t size = std::max<std::int64_t>(bytes, 1);
  nameless.reserve(size);
  void* memory = nameless.map(static_cast<std::size_t>(size));
  // What is read lies far apart: what is beside it on the disk would take the place of what is wanted.
  madvise(memory, static_cast<std::size_t>(size), MADV_RANDOM);
  return Buffer(std::shared_ptr<void>(memory, [size](void* old) { munmap(old, static_cast<std::size_t>(size)); }),
                bytes);
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

std::int64_t installed_host_memory() {
  return std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
}

std::int64_t available_host_memory() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::int64_t kilobytes = 0;
  for (std::string unit; file >> name >> kilobytes; std::getline(file, unit)) {
    if (name == "MemAvailable:") return kilobytes * 1024;
  }
  return std::int64_t{sysconf(_SC_AVPHYS_PAGES)} * sysconf(_SC_PAGESIZE);
}

namespace {

// The limit that a control group's file holds; nothing where it has none ("max").
std::optional<std::int64_t> group_limit(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::int64_t bytes = 0;
  if (!(in >> bytes) || bytes <= 0) return std::nullopt;
  return bytes;
}

}  // namespace

std::int64_t held_host_bytes(std::int64_t bytes, std::int64_t written) {
  static const bool has_huge_pages = [] {
    std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
    std::string words;
    return std::getline(file, words) && words.find("[never]") == std::string::npos;
  }();
  constexpr auto page = static_cast<std::int64_t>(huge_page);
  return has_huge_pages && bytes > small_bytes ? (written + page - 1) / page * page : written;
}

void give_back_freed_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

std::int64_t host_memory_limit() {
  const std::filesystem::path root = "/sys/fs/cgroup";
  std::int64_t limit = installed_host_memory();
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    // "0::/a/b", or of version 1 "4:memory:/a/b".
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first == std::string::npos ? first : first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool unified = controllers.empty();
    if (!unified && controllers != "memory") continue;
    const std::filesystem::path base = unified ? root : root / "memory";
    const char* name = unified ? "memory.max" : "memory.limit_in_bytes";
    std::filesystem::path inside = std::filesystem::path(line.substr(second + 1)).relative_path();
    for (;; inside = inside.parent_path()) {
      if (const auto bytes = group_limit(base / inside / name)) limit = std::min(limit, *bytes);
      if (inside.empty()) break;
    }
  }
  return limit;
}

}  // namespace precis
