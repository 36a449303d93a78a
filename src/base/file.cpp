#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace precis {
namespace {

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

// Opens a regular file for reading and tells its size. O_NONBLOCK: opening a pipe must not wait for a writer.
std::int64_t open_regular(const std::filesystem::path& path, int& file) {
  file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) fail("{}: {}", path.string(), std::strerror(errno));
  struct stat status {};
  if (::fstat(file, &status) != 0) fail("{}: {}", path.string(), std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail("{}: not a regular file", path.string());
  return status.st_size;
}

std::string read_all(int file, std::int64_t expected, std::int64_t max_bytes, const std::string& name) {
  std::string text;
  text.reserve(static_cast<std::size_t>(std::min(expected, max_bytes)));
  char buffer[1 << 16];
  for (;;) {
    const ssize_t got = ::read(file, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("{}: {}", name, std::strerror(errno));
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
    if (static_cast<std::int64_t>(text.size()) > max_bytes) fail("{}: more than {} bytes", name, max_bytes);
  }
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  int raw = -1;
  const std::int64_t size = [&] {
    try {
      return open_regular(path, raw);
    } catch (...) {
      if (raw >= 0) ::close(raw);
      throw;
    }
  }();
  const Descriptor file(raw);
  std::span<const std::byte> bytes;
  if (size > 0) {
    void* address = ::mmap(nullptr, static_cast<std::size_t>(size), PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (address == MAP_FAILED) fail("{}: cannot be mapped: {}", path.string(), std::strerror(errno));
    bytes = {static_cast<const std::byte*>(address), static_cast<std::size_t>(size)};
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(path, bytes));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::prefetch() const {
  if (!bytes_.empty()) ::madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(), MADV_WILLNEED);
}

void MappedFile::release(std::span<const std::byte> part) const {
  if (part.empty()) return;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(part.data()) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(part.data() + part.size());
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

std::string read_text(const std::filesystem::path& path, std::int64_t max_bytes) {
  int raw = -1;
  try {
    const std::int64_t size = open_regular(path, raw);
    const Descriptor file(std::exchange(raw, -1));
    if (size > max_bytes) fail("{}: {} bytes, at most {} are read", path.string(), size, max_bytes);
    return read_all(file.get(), size, max_bytes, path.string());
  } catch (...) {
    if (raw >= 0) ::close(raw);
    throw;
  }
}

std::string read_stdin(std::int64_t max_bytes) {
  return read_all(STDIN_FILENO, 0, max_bytes, "standard input");
}

InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)) {
  try {
    bytes_ = open_regular(path_, file_);
  } catch (...) {
    if (file_ >= 0) ::close(file_);
    throw;
  }
  ::posix_fadvise(file_, 0, 0, POSIX_FADV_SEQUENTIAL);
}

InputFile::~InputFile() {
  ::close(file_);
}

void InputFile::read(std::span<std::byte> room) {
  while (!room.empty()) {
    const ssize_t got = ::read(file_, room.data(), room.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("{}: {}", path_.string(), std::strerror(errno));
    if (got == 0) fail("{}: it has become shorter while it was read", path_.string());
    room = room.subspan(static_cast<std::size_t>(got));
  }
}

void InputFile::seek(std::int64_t offset) {
  if (::lseek(file_, offset, SEEK_SET) < 0) fail("{}: {}", path_.string(), std::strerror(errno));
}

namespace {

constexpr const char* part_suffix = ".part-";

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// Who writes a part holds a lock on it, which ends with its process.
void remove_left_parts(const std::filesystem::path& path) {
  const std::string begin = path.filename().string() + part_suffix;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder_of(path), ignored)) {
    const std::string name = entry.path().filename().string();
    const bool is_part = name.starts_with(begin) &&
                         name.find_first_not_of("0123456789-", begin.size()) == std::string::npos &&
                         entry.is_regular_file(ignored);
    if (!is_part) continue;
    const Descriptor part(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (part.get() >= 0 && ::flock(part.get(), LOCK_EX | LOCK_NB) == 0) ::unlink(entry.path().c_str());
  }
}

// So that a name outlives the machine too. Where a file system cannot, there is no more to be had.
void sync_folder(const std::filesystem::path& path) {
  const Descriptor folder(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) ::fsync(folder.get());
}

std::filesystem::path part_of(const std::filesystem::path& path) {
  static std::atomic<int> number = 0;
  return fmt::format("{}{}{}-{}", path.string(), part_suffix, ::getpid(), ++number);
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)), temporary_(part_of(path_)) {
  remove_left_parts(path_);
  file_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file_ < 0) fail("{}: cannot be written: {}", path_.string(), std::strerror(errno));
  ::flock(file_, LOCK_EX | LOCK_NB);
}

AtomicFile::~AtomicFile() {
  if (file_ < 0) return;
  ::close(file_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(file_, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("{}: cannot be written: {}", path_.string(), std::strerror(errno));
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

void AtomicFile::write(std::string_view text) {
  write(std::as_bytes(std::span(text.data(), text.size())));
}

void AtomicFile::write_at(std::int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(file_, bytes.data(), bytes.size(), offset);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("{}: cannot be written: {}", path_.string(), std::strerror(errno));
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += put;
  }
}

void AtomicFile::commit() {
  // Closed last: its lock says until then that somebody still needs the part.
  const bool renamed = ::fsync(file_) == 0 && ::rename(temporary_.c_str(), path_.c_str()) == 0;
  const int reason = errno;
  ::close(std::exchange(file_, -1));
  if (!renamed) {
    ::unlink(temporary_.c_str());
    fail("{}: cannot be written: {}", path_.string(), std::strerror(reason));
  }
  sync_folder(path_);
}

Folder::Folder(std::filesystem::path path) : path_(std::move(path)) {
  std::error_code ignored;
  if (!std::filesystem::exists(path_, ignored)) fail("{}: no such folder", path_.string());
  if (!std::filesystem::is_directory(path_, ignored)) fail("{}: not a folder", path_.string());
}

bool Folder::has(std::string_view name) const {
  std::error_code ignored;
  return std::filesystem::exists(at(name), ignored);
}

std::filesystem::path Folder::at(std::string_view name) const {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string_view::npos ||
      name.find('\0') != std::string_view::npos) {
    fail("{}: '{}' is not the name of a file in this folder", path_.string(), name);
  }
  return path_ / name;
}

}  // namespace precis
