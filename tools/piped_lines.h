// Lines of standard input, where nobody types.
#pragma once

#include <string>

#include "line_editor.h"

namespace precis {

class PipedLines {
 public:
  explicit PipedLines(ChatSignals& signals) : signals_(signals) {}

  // Waits for a line; the last one need not have an end. `interrupted`: a signal came. Throws RunFailure when standard
  // input cannot be read, std::runtime_error for a line of more than 1 GiB.
  LineReading read();

 private:
  ChatSignals& signals_;
  std::string held_;  // read, and not given yet
  std::size_t given_ = 0;
  bool ended_ = false;
};

}  // namespace precis
