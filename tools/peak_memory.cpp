#include "peak_memory.h"

#include <sys/resource.h>

#include <fstream>
#include <string>

namespace precis {

std::int64_t peak_memory() {
  // getrusage also remembers what the process that started this one held.
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    constexpr std::string_view name = "VmHWM:";
    if (line.starts_with(name)) return std::stoll(line.substr(name.size())) * 1024;
  }
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;  // Linux counts kB
}

void forget_peak() {
  constexpr char reset_peak = '5';  // proc(5), clear_refs
  std::ofstream("/proc/self/clear_refs") << reset_peak;
}

}  // namespace precis
