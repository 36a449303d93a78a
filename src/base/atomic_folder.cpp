#include "base/atomic_folder.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/error.h"

namespace precis {
namespace {

// "out/" -> "out"
std::filesystem::path without_slash(const std::filesystem::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

AtomicFolder::AtomicFolder(const std::filesystem::path& path)
    : path_(without_slash(path)), temporary_(fmt::format("{}.part-{}", path_.string(), ::getpid())) {
  std::error_code error;
  if (std::filesystem::exists(path_, error)) {
    if (!std::filesystem::is_directory(path_, error)) fail("{}: is no folder, expected nothing there", path_.string());
    if (!std::filesystem::is_empty(path_, error)) {
      fail("{}: is not empty, expected nothing or an empty folder there", path_.string());
    }
  }
  std::filesystem::remove_all(temporary_, error);  // a process that ended before it could, with this one's number
  if (!std::filesystem::create_directory(temporary_, error)) {
    fail("{}: cannot be made: {}", path_.string(), error ? error.message() : std::strerror(EEXIST));
  }
  pending_ = true;
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (pending_) std::filesystem::remove_all(temporary_, ignored);
}

// rename(2) replaces an empty folder, and refuses any other.
void AtomicFolder::commit() {
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail("{}: cannot be made: {}", path_.string(), std::strerror(errno));
  }
  pending_ = false;
}

}  // namespace precis
