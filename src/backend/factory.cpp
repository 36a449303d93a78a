#include "backend/factory.h"

#include "backend/cpu/cpu_device.h"
#include "backend/reference/reference_device.h"
#include "base/error.h"

namespace precis {

std::unique_ptr<Device> open_backend(std::string_view name, const BackendOptions& options) {
  constexpr int max_threads = 1024;
  if (options.threads < 0 || options.threads > max_threads) {
    fail("threads: {}, expected 0 (all cores) to {}", options.threads, max_threads);
  }
  if (name == "cpu" || name == "auto") return cpu::open_cpu(options.threads, options.exact_activations);
  if (name == "reference") return reference::open_reference();
  fail("backend: unknown '{}', expected auto, cpu or reference", name);
}

}  // namespace precis
