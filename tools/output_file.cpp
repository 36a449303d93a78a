#include "output_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "outcome.h"

namespace precis {

OutputFile::OutputFile(std::string_view flag, std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  if (std::filesystem::is_directory(path_)) {
    throw std::runtime_error(fmt::format("{}: {}: is a folder, a file is expected", flag, path_));
  }
  part_ = fmt::format("{}.{}.part", path_, ::getpid());
  errno = 0;
  if (!std::ofstream(part_, std::ios::binary)) {
    const int error = errno;
    part_.clear();
    throw std::runtime_error(fmt::format("{}: {}: {}", flag, path_, std::strerror(error)));
  }
}

OutputFile::~OutputFile() {
  std::error_code ignored;
  if (!part_.empty()) std::filesystem::remove(part_, ignored);
}

void OutputFile::write(std::string_view bytes) {
  if (path_.empty()) return;
  errno = 0;
  std::ofstream file(part_, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) throw RunFailure(fmt::format("{}: {}", path_, std::strerror(errno)));
  std::error_code error;
  std::filesystem::rename(part_, path_, error);
  if (error) throw RunFailure(fmt::format("{}: {}", path_, error.message()));
  part_.clear();
}

}  // namespace precis
