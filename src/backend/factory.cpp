#include "backend/factory.h"

#include <string>

#include "backend/cpu/cpu_device.h"
#ifdef PRECIS_HAS_CUDA
#include "backend/cuda/cuda_device.h"
#endif
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
  fail("backend: unknown '{}', expected auto, cuda, cpu or reference", name);
}

}  // namespace precis
