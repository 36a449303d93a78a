#include "backend/cuda/cuda_device.h"

#include <fmt/format.h>

#include "backend/cuda/check.h"
#include "backend/cuda/cuda_ops.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/speed.h"
#include "base/error.h"

namespace precis::cuda {
namespace {

class CudaDevice final : public Device {
 public:
  CudaDevice(bool exact_activations, bool deterministic)
      : deterministic_(deterministic),
        stream_(std::make_shared<Stream>()),
        ops_(stream_, exact_activations, deterministic) {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
    name_ = properties.name;
  }

  std::string description() const override { return fmt::format("cuda ({})", name_); }
  std::optional<DeviceMemory> memory() override {
    std::size_t free = 0;
    std::size_t total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    return DeviceMemory{.total = static_cast<std::int64_t>(total), .free = static_cast<std::int64_t>(free)};
  }
  std::int64_t overhead() const override { return driver_overhead; }
  Buffer allocate(std::int64_t bytes) override { return allocate_device(stream_, bytes); }
  Buffer allocate_far(std::int64_t bytes, const std::filesystem::path& file) override {
    if (!file.empty()) {
      fail("'{}', expected no file: what is far from a GPU is the host's memory", file.string());
    }
    return allocate_mapped(stream_, bytes);
  }
  void expect(std::int64_t bytes, std::int64_t tensors) override { expected_.make(stream_, bytes, tensors); }
  Buffer adopt(const HostTensor& tensor) override {
    Buffer buffer = expected_.take(tensor.view.bytes());
    if (buffer.as<void>() == nullptr) buffer = allocate_device(stream_, tensor.view.bytes());
    ops_.to_device(buffer.as<void>(), tensor.view.data, tensor.view.bytes());
    return buffer;
  }
  Ops& ops() override { return ops_; }
  bool goes_by_decoded() const override { return deterministic_; }
  DeviceSpeed measure() override { return measure_speed(stream_, ops_.products()); }
  double measure_read() override { return measure_read_speed(stream_); }

 private:
  const bool deterministic_;
  std::shared_ptr<Stream> stream_;
  CudaOps ops_;
  Slab expected_;
  std::string name_;
};

std::string version(int number) {
  return fmt::format("{}.{}", number / 1000, number % 1000 / 10);
}

std::string why_no_gpu(cudaError_t status, int driver) {
  if (driver == 0) return "this machine has no NVIDIA driver";
  if (status == cudaErrorNoDevice) return "the driver shows no GPU to this process";
  if (status == cudaErrorInsufficientDriver) {
    return fmt::format("the driver supports CUDA {}, this program was built with {}", version(driver),
                       version(CUDART_VERSION));
  }
  return cudaGetErrorString(status);
}

std::string look_for_gpu() {
  int driver = 0;
  cudaDriverGetVersion(&driver);
  int count = 0;
  const cudaError_t counted = cudaGetDeviceCount(&count);
  if (counted != cudaSuccess || count == 0) {
    return why_no_gpu(counted == cudaSuccess ? cudaErrorNoDevice : counted, driver);
  }
  cudaDeviceProp properties;
  if (const cudaError_t status = cudaGetDeviceProperties(&properties, 0); status != cudaSuccess) {
    return cudaGetErrorString(status);
  }
  const cudaError_t probed = probe_kernels();
  if (probed == cudaErrorNoKernelImageForDevice || probed == cudaErrorInvalidDeviceFunction) {
    return fmt::format("{} has compute capability {}.{}, this program was built for {}", properties.name,
                       properties.major, properties.minor, PRECIS_CUDA_ARCHITECTURES);
  }
  return probed == cudaSuccess ? "" : cudaGetErrorString(probed);
}

}  // namespace

std::string why_unusable() {
  std::string why = look_for_gpu();
  cudaGetLastError();
  return why;
}

std::unique_ptr<Device> open_cuda(bool exact_activations, bool deterministic) {
  if (const std::string why = why_unusable(); !why.empty()) fail("backend: cuda: {}", why);
  return std::make_unique<CudaDevice>(exact_activations, deterministic);
}

}  // namespace precis::cuda
