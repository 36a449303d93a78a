#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

namespace precis {

spdlog::logger& log() {
  static spdlog::logger& logger = *[] {
    auto made = new spdlog::logger("precis", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_level(spdlog::level::warn);
    made->set_pattern("precis: %^%l%$: %v");
    return made;  // never destroyed: threads may still log while the process ends
  }();
  return logger;
}

}  // namespace precis
