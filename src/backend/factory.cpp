#include "backend/factory.h"

#include <filesystem>
#include <string>
#include <system_error>

#include "backend/cpu/cpu_device.h"
#include "backend/cuda/cuda_device.h"
#include "backend/reference/reference_device.h"
#include "base/error.h"
#include "base/log.h"

namespace precis {
namespace {

#ifdef PRECIS_HAS_CUDA
std::unique_ptr<Device> open_cuda(const BackendOptions& options) {
  return cuda::open_cuda(options.exact_activations, options.deterministic);
}

// Nothing where there is no GPU, or one that cannot be opened.
std::unique_ptr<Device> find_cuda(const BackendOptions& options) {
  if (!cuda::why_unusable().empty()) return nullptr;
  try {
    return open_cuda(options);
  } catch (const Error& error) {
    log().warn("the GPU is not used: {}", error.what());
    return nullptr;
  }
}
#else
std::unique_ptr<Device> open_cuda(const BackendOptions&) {
  fail("backend: cuda: this program was built without CUDA");
}

std::unique_ptr<Device> find_cuda(const BackendOptions&) {
  return nullptr;
}
#endif

bool would_find_cuda() {
#ifdef PRECIS_HAS_CUDA
  std::error_code ignored;
  return std::filesystem::exists("/dev/nvidiactl", ignored);
#else
  return false;
#endif
}

[[noreturn]] void refuse(std::string_view name) {
  fail("backend: unknown '{}', expected auto, cuda, cpu or reference", name);
}

}  // namespace

std::unique_ptr<Device> open_backend(std::string_view name, const BackendOptions& options) {
  constexpr int max_threads = 1024;
  if (options.threads < 0 || options.threads > max_threads) {
    fail("threads: {}, expected 0 (all cores) to {}", options.threads, max_threads);
  }
  if (name == "cuda") return open_cuda(options);
  if (name == "auto") {
    if (auto device = find_cuda(options)) return device;
  }
  if (name == "cpu" || name == "auto") return cpu::open_cpu(options.threads, options.exact_activations);
  if (name == "reference") return reference::open_reference();
  refuse(name);
}

BackendForecast forecast_backend(std::string_view name, const BackendOptions& options) {
  if (name == "auto") name = would_find_cuda() ? "cuda" : "cpu";
  if (name == "cuda") {
    return {"cuda",
            {.own_memory = true,
             .selects = true,
             .runs_asynchronously = true,
             .goes_by_decoded = options.deterministic,
             .device_overhead = cuda::driver_overhead}};
  }
  if (name == "cpu") return {"cpu", {.selects = true}};
  if (name == "reference") return {"reference", {.selects = true}};
  refuse(name);
}

}  // namespace precis
