// Files made by hand: folders that vanish, tensor files byte by byte, and what is said about bad ones.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"

namespace precis {

// A folder under the system's temporary one, removed with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "precis-test-XXXXXX").string();
    PRECIS_CHECK(::mkdtemp(name.data()) != nullptr, "{}", name);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, const std::string& content) const {
    std::ofstream file(path_ / name, std::ios::binary);
    file << content;
    PRECIS_CHECK(file.good(), "{}", name);
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

// A tensor file whose length field says `length`, whatever the header's own is.
inline std::string tensor_file(std::uint64_t length, const std::string& header, const std::string& data) {
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + data;
}

inline std::string tensor_file(const std::string& header, const std::string& data) {
  return tensor_file(header.size(), header, data);
}

// `work` throws an Error of one line that contains all of `parts`.
template <typename Work>
void expect_error(Work&& work, const std::vector<std::string>& parts) {
  try {
    work();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_LE(message.size(), 600U) << message;
    for (const std::string& part : parts)
      EXPECT_NE(message.find(part), std::string::npos) << message << " lacks " << part;
    return;
  }
  ADD_FAILURE() << "no error";
}

}  // namespace precis
