// How the program ends.
#pragma once

#include <stdexcept>
#include <string>

namespace precis {

enum Outcome : int {
  done = 0,
  failed_run = 1,  // the machine's fault: memory, disk, an engine that broke down
  bad_input = 2,   // a flag, a file or a checkpoint is wrong
  // 128 + signal: interrupted; what was generated is printed and the summary too
};

// What ends the program with `failed_run`. Every other exception means `bad_input`.
class RunFailure : public std::runtime_error {
 public:
  explicit RunFailure(const std::string& what) : std::runtime_error(what) {}
};

}  // namespace precis
