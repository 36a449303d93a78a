// The file of a session: a head that says what it belongs to and what it has, then K and V in blocks, every byte under
// a checksum. docs/sessions.md describes it byte by byte. Knows no engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"

namespace precis {

// What numbers depend on, by name: two sessions are of one kind when all are equal.
using Fingerprint = std::vector<std::pair<std::string, std::string>>;

struct SessionHead {
  Fingerprint fingerprint;
  std::string device;           // that has computed it, for people
  std::int64_t tokens = 0;      // whose K and V are in the file
  std::int64_t lowest = 0;      // PrefixSnapshot::lowest
  std::int64_t summarised = 0;  // chunks whose summaries are
  std::vector<std::int32_t> ids;
  std::string note;
};

// Bytes of K and V that a block has; the last one may have less.
inline constexpr std::int64_t session_block = std::int64_t{16} << 20;

// Sixteen hexadecimal digits that tell contents apart.
std::string content_hash(std::span<const std::byte> bytes);

// Throws Error("PATH: ..."). Nothing is at `path` that was not there before until commit() returns.
class SessionWriter {
 public:
  SessionWriter(const std::filesystem::path& path, const SessionHead& head, std::int64_t data_bytes);

  // The next block: session_block bytes, or what is left.
  void write(std::span<const std::byte> block);
  // All data was written.
  void commit();
  // Of the whole file.
  std::int64_t file_bytes() const { return file_bytes_; }

 private:
  AtomicFile file_;
  std::int64_t file_bytes_ = 0;
  std::int64_t left_;
  std::uint64_t blocks_ = 0;
};

// Throws Error("PATH: ...") of one line when the file is none of these, is cut or too long, or any bit is not as it was
// written. What is read is checked before it is handed out.
class SessionReader {
 public:
  explicit SessionReader(const std::filesystem::path& path);

  const SessionHead& head() const { return head_; }
  SessionHead& head() { return head_; }
  std::int64_t data_bytes() const { return data_bytes_; }
  std::int64_t file_bytes() const { return file_.bytes(); }
  // The next block into `block`, which has room for session_block bytes: as many as it has.
  std::span<const std::byte> read(std::span<std::byte> block);
  // Begins with the first block again.
  void rewind();

 private:
  void read_head();

  InputFile file_;
  SessionHead head_;
  std::int64_t data_bytes_ = 0;
  std::int64_t data_begin_ = 0;
  std::int64_t left_ = 0;
  std::uint64_t blocks_ = 0;
};

}  // namespace precis
