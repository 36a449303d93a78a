#include "backend/cpu/cpu_device.h"

#include "backend/cpu/cpu_ops.h"
#include "backend/cpu/isa.h"
#include "base/error.h"
#include "device/host_memory.h"
#include "device/host_speed.h"

namespace precis::cpu {
namespace {

class CpuDevice final : public Device {
 public:
  CpuDevice(int threads, bool exact_activations) : ops_(chosen_kernels(), threads, exact_activations) {}

  std::string description() const override {
    const int threads = ops_.threads();
    return fmt::format("cpu ({}, {} thread{})", ops_.kernels().name, threads, threads == 1 ? "" : "s");
  }
  Buffer allocate(std::int64_t bytes) override { return allocate_host(bytes); }
  Buffer allocate_far(std::int64_t bytes, const std::filesystem::path& file) override {
    return allocate_far_host(bytes, file);
  }
  Buffer adopt(const HostTensor& tensor) override { return adopt_host(tensor); }
  Ops& ops() override { return ops_; }
  DeviceSpeed measure() override { return measure_host(speed_loops(), ops_.pool()); }
  double measure_read() override { return measure_host_read(speed_loops(), ops_.pool()); }

 private:
  SpeedLoops speed_loops() const {
    const Kernels& kernels = ops_.kernels();
    return {kernels.sum_words, kernels.multiply_add, kernels.multiply_chains};
  }

  CpuOps ops_;
};

}  // namespace

std::unique_ptr<Device> open_cpu(int threads, bool exact_activations) {
  return std::make_unique<CpuDevice>(threads, exact_activations);
}

}  // namespace precis::cpu
