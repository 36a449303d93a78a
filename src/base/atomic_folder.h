// A folder that appears whole or not at all.
#pragma once

#include <filesystem>

namespace precis {

// Files are written into a sibling of `path`, which commit() renames to it.
class AtomicFolder {
 public:
  // Throws Error("PATH: ...") when something other than an empty folder is there, or nothing can be made beside it.
  explicit AtomicFolder(const std::filesystem::path& path);
  ~AtomicFolder();  // removes what was written unless commit() was called
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  // Where the files go until commit().
  const std::filesystem::path& inside() const { return temporary_; }
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  bool pending_ = false;
};

}  // namespace precis
