// The library's voice: an spdlog logger on stderr, at level `warn` until somebody asks for more.
#pragma once

#include <spdlog/logger.h>

namespace precis {

// Thread-safe. Lives as long as the process.
spdlog::logger& log();

}  // namespace precis
