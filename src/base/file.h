// Files as they are read here: whole regular files, mapped or copied, inside one folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace precis {

// A read-only mapping of a regular file. Shared by whoever looks into it; unmapped with the last of them.
class MappedFile {
 public:
  // Throws Error("PATH: ...") when the path is missing, not a regular file, or cannot be mapped. An empty file maps to
  // an empty span.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }

  // Tells the kernel that the whole file will be read soon.
  void prefetch() const;
  // Gives back what memory this process holds of a part of the file; the next look reads it again.
  void release(std::span<const std::byte> part) const;

 private:
  MappedFile(std::filesystem::path path, std::span<const std::byte> bytes) : path_(std::move(path)), bytes_(bytes) {}

  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

// The whole of a regular file of at most `max_bytes`. "-" is not special. Throws Error("PATH: ...").
std::string read_text(const std::filesystem::path& path, std::int64_t max_bytes);

// Everything up to the end of standard input, at most `max_bytes`. Throws Error("standard input: ...").
std::string read_stdin(std::int64_t max_bytes);

// A regular file that is read piece by piece, each into the caller's memory: what is cut meanwhile is an error, where a
// mapping would be a signal. Throws Error("PATH: ...").
class InputFile {
 public:
  explicit InputFile(std::filesystem::path path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Of the whole file, when it was opened.
  std::int64_t bytes() const { return bytes_; }
  // The next bytes, as many as there is room for.
  void read(std::span<std::byte> room);
  void seek(std::int64_t offset);

 private:
  std::filesystem::path path_;
  int file_ = -1;
  std::int64_t bytes_ = 0;
};

// Writes beside `path` and renames over it, so that a reader sees the old file or the new one; so does who looks after
// the machine has stopped at any moment. What a killed process has left beside `path` goes with the next one. Throws
// Error.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();  // removes what was written unless commit() was called
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  // At a place that need not have been reached; what lies between is zeros until it is written.
  void write_at(std::int64_t offset, std::span<const std::byte> bytes);
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int file_ = -1;
};

// A model's folder. Names that come from a file of the folder (a shard list) can only reach files in it.
class Folder {
 public:
  // Throws Error when `path` is not a folder.
  explicit Folder(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  bool has(std::string_view name) const;
  // The path of `name`. Throws Error when `name` is not a plain file name ("", ".", "..", or anything with '/').
  std::filesystem::path at(std::string_view name) const;

 private:
  std::filesystem::path path_;
};

}  // namespace precis
