// Tokenizer folders for tests: those of tests/data, and ones written on the spot.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"
#include "text/tokenizer.h"

namespace precis {

inline std::filesystem::path test_data(std::string_view name) {
  return std::filesystem::path(PRECIS_TEST_DATA) / name;
}

// A tokenizer of tests/data/tokenizers, or "demo".
inline std::filesystem::path tokenizer_folder(const std::string& name) {
  if (name == "demo") return std::filesystem::path(PRECIS_MODELS) / "demo-ksa";
  return test_data("tokenizers") / name;
}

inline std::unique_ptr<Tokenizer> open_named(const std::string& name) {
  return open_tokenizer(Folder(tokenizer_folder(name)));
}

// A folder of its own under the temporary folder, removed at the end.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "precis-text-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(std::string_view name, std::string_view text) const {
    std::ofstream file(path_ / name, std::ios::binary);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    ASSERT_TRUE(file.good());
  }
  std::unique_ptr<Tokenizer> open() const { return open_tokenizer(Folder(path_)); }

 private:
  std::filesystem::path path_;
};

}  // namespace precis
