#include "base/error.h"

#include <cstdlib>

#include "base/log.h"

namespace precis {

void broken_invariant(const char* file, int line, const char* condition, const std::string& detail) {
  log().critical("broken invariant at {}:{}: {}{}{}", file, line, condition, detail.empty() ? "" : ": ", detail);
  log().flush();
  std::abort();
}

}  // namespace precis
