// A file that a command writes at its end, known to be writable from its beginning.
#pragma once

#include <string>
#include <string_view>

namespace precis {

// Appears whole, or not at all.
class OutputFile {
 public:
  // Throws std::runtime_error that names `flag` when nothing can be written there. Empty: there is no file.
  OutputFile(std::string_view flag, std::string path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Writes the file, if there is one. Throws RunFailure when the disk refuses.
  void write(std::string_view bytes);

 private:
  std::string path_;
  std::string part_;  // beside it, until it is written
};

}  // namespace precis
