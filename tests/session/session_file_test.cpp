// A session's file: what was written comes back, and nothing else does.
#include "session/session_file.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

#include "checkpoint/hand_made.h"
#include "support/random.h"

namespace precis::test {
namespace {

using Bytes = std::vector<std::byte>;

SessionHead some_head() {
  return {.fingerprint = {{"model", "0123"}, {"backend", "cpu"}},
          .device = "cpu (avx2, 2 threads)",
          .tokens = 3,
          .lowest = 2,
          .summarised = 1,
          .ids = {5, 6, 7, -8},
          .note = "a note\nof two lines"};
}

Bytes some_data(std::int64_t size, std::uint64_t seed) {
  Random random(seed);
  Bytes data(static_cast<std::size_t>(size));
  for (std::byte& byte : data) byte = static_cast<std::byte>(random.below(256));
  return data;
}

void write(const std::filesystem::path& path, const SessionHead& head, const Bytes& data) {
  SessionWriter writer(path, head, std::ssize(data));
  for (std::span<const std::byte> left = data; !left.empty();) {
    const std::size_t size = std::min(left.size(), static_cast<std::size_t>(session_block));
    writer.write(left.first(size));
    left = left.subspan(size);
  }
  writer.commit();
  EXPECT_EQ(writer.file_bytes(), static_cast<std::int64_t>(std::filesystem::file_size(path)));
}

Bytes data_of(SessionReader& reader) {
  Bytes data;
  Bytes block(static_cast<std::size_t>(std::min(session_block, reader.data_bytes())));
  while (std::ssize(data) < reader.data_bytes()) {
    const auto bytes = reader.read(block);
    data.insert(data.end(), bytes.begin(), bytes.end());
  }
  return data;
}

void expect_equal_heads(const SessionHead& a, const SessionHead& b) {
  EXPECT_EQ(a.fingerprint, b.fingerprint);
  EXPECT_EQ(a.device, b.device);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.lowest, b.lowest);
  EXPECT_EQ(a.summarised, b.summarised);
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_EQ(a.note, b.note);
}

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class SessionFileTest : public testing::Test {
 protected:
  void expect_refused(const std::string& content, const std::string& part) const {
    const std::filesystem::path path = folder_.write("changed", content);
    expect_error(
        [&] {
          SessionReader reader(path);
          data_of(reader);
        },
        {path.string() + ": ", part});
  }

  TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_.path() / "session";
};

TEST_F(SessionFileTest, WhatWasWrittenComesBack) {
  for (const std::int64_t size : {std::int64_t{0}, std::int64_t{1}, std::int64_t{5000}, session_block - 1,
                                  session_block, session_block + 1, 2 * session_block + 77}) {
    SCOPED_TRACE(size);
    const Bytes data = some_data(std::min<std::int64_t>(size, 5000), 1);
    Bytes whole(static_cast<std::size_t>(size));
    for (std::int64_t at = 0; at < size; at += std::ssize(data)) {
      std::copy_n(data.begin(), std::min(std::ssize(data), size - at), whole.begin() + at);
    }
    write(path_, some_head(), whole);
    SessionReader reader(path_);
    expect_equal_heads(reader.head(), some_head());
    ASSERT_EQ(reader.data_bytes(), size);
    EXPECT_TRUE(data_of(reader) == whole);
    reader.rewind();
    EXPECT_TRUE(data_of(reader) == whole);
  }
}

TEST_F(SessionFileTest, CutAnywhereIsRefused) {
  write(path_, some_head(), some_data(700, 1));
  const std::string content = content_of(path_);
  for (std::size_t size = 0; size < content.size(); ++size) {
    SCOPED_TRACE(size);
    expect_refused(content.substr(0, size), size < 8 ? "not a session" : "cut: ");
  }
  expect_refused(content + 'x', "too long: ");
  expect_refused(content + content, "too long: ");
}

TEST_F(SessionFileTest, EveryFlippedBitIsFound) {
  write(path_, some_head(), some_data(400, 1));
  std::string content = content_of(path_);
  for (std::size_t at = 0; at < content.size(); ++at) {
    SCOPED_TRACE(at);
    for (int bit = 0; bit < 8; ++bit) {
      content[at] = static_cast<char>(content[at] ^ (1 << bit));
      expect_refused(content, at < 8 ? "not a session" : at < 12 ? "format version " : "damaged: ");
      content[at] = static_cast<char>(content[at] ^ (1 << bit));
    }
  }
}

TEST_F(SessionFileTest, BlocksKeepTheirOrder) {
  // Two whole blocks of one kind each change places.
  Bytes data(static_cast<std::size_t>(2 * session_block), std::byte{1});
  std::fill(data.begin() + session_block, data.end(), std::byte{2});
  write(path_, some_head(), data);
  std::string content = content_of(path_);
  const std::size_t one = static_cast<std::size_t>(session_block) + 8;
  std::swap_ranges(content.end() - static_cast<std::ptrdiff_t>(2 * one),
                   content.end() - static_cast<std::ptrdiff_t>(one), content.end() - static_cast<std::ptrdiff_t>(one));
  expect_refused(content, "damaged: 16777216 bytes from ");
}

// Checksums are no proof against who computes them.
TEST_F(SessionFileTest, HeadsThatCannotBeAreRefused) {
  SessionHead head = some_head();
  head.tokens = 5;
  write(path_, head, {});
  expect_refused(content_of(path_), "tokens: 5, of 4 ids");
  head.tokens = -1;
  write(path_, head, {});
  expect_refused(content_of(path_), "tokens: 18446744073709551615, expected at most ");
  head = some_head();
  head.fingerprint.assign(300, {"a", "b"});
  write(path_, head, {});
  expect_refused(content_of(path_), "fingerprint: 300 fields, expected at most 256");
  expect_error([&] { SessionReader reader(folder_.path() / "none"); }, {"none: No such file or directory"});
  expect_error([&] { SessionReader reader(folder_.path()); }, {"not a regular file"});
  expect_error([&] { SessionReader reader("/dev/null"); }, {"not a regular file"});
  expect_error([&] { write(folder_.path() / "no" / "file", head, {}); }, {"no/file: cannot be written: No such file"});
}

TEST_F(SessionFileTest, WhatIsNotCommittedLeavesTheOldOne) {
  const Bytes old = some_data(1000, 1);
  write(path_, some_head(), old);
  {
    SessionWriter writer(path_, some_head(), 2000);
    writer.write(some_data(2000, 2));
  }
  SessionReader reader(path_);
  EXPECT_TRUE(data_of(reader) == old);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
}

// A child that saves one session after the other until it is killed: version v has v as its note, and data of its own.
class KilledWriter {
 public:
  KilledWriter(const std::filesystem::path& path, std::uint64_t first) {
    child_ = ::fork();
    if (child_ != 0) return;
    for (std::uint64_t version = first;; ++version) {
      SessionHead head = some_head();
      head.note = std::to_string(version);
      write(path, head, some_data(data_bytes, version));
    }
  }
  ~KilledWriter() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

  static constexpr std::int64_t data_bytes = 20000;

 private:
  pid_t child_;
};

TEST_F(SessionFileTest, KilledAtAnyMomentTheOldOrTheNewOneIsThere) {
  SessionHead head = some_head();
  head.note = "0";
  write(path_, head, some_data(KilledWriter::data_bytes, 0));
  std::uint64_t version = 0;
  int kept = 0;
  int advanced = 0;
  Random random(1);
  // Child and disk may be slow: the time until the kill follows them, so that about half of the children save nothing.
  double most_us = 4000;
  while (kept < 100 || advanced < 100) {
    {
      const KilledWriter child(path_, version + 1);
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(static_cast<std::int64_t>(most_us))));
    }
    SessionReader reader(path_);
    const std::uint64_t found = std::stoull(reader.head().note);
    ASSERT_GE(found, version);
    ASSERT_TRUE(data_of(reader) == some_data(KilledWriter::data_bytes, found));
    (found > version ? advanced : kept)++;
    most_us = std::max(100.0, most_us * (found > version ? 0.9 : 1.1));
    ASSERT_LT(most_us, 2e7) << "no child saves anything";
    version = found;
  }
  // What the last one has left goes with the next.
  write(path_, head, {});
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
}

TEST_F(SessionFileTest, APartThatSomebodyWritesIsLeftAlone) {
  SessionWriter first(path_, some_head(), 100);
  write(path_, some_head(), some_data(50, 1));
  first.write(some_data(100, 2));
  first.commit();
  SessionReader reader(path_);
  EXPECT_TRUE(data_of(reader) == some_data(100, 2));
}

}  // namespace
}  // namespace precis::test
