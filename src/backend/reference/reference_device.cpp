#include "backend/reference/reference_device.h"

#include <array>
#include <numeric>

#include "backend/reference/reference_ops.h"
#include "device/host_memory.h"
#include "device/host_speed.h"

namespace precis::reference {
namespace {

std::uint32_t sum_words(const std::uint32_t* from, std::int64_t words) {
  std::uint32_t sum = 0;
  for (std::int64_t i = 0; i < words; ++i) sum += from[i];
  return sum;
}

// In double, as the operations here; independent chains, as those of different outputs are.
constexpr int multiply_chains = 8;

float multiply_add(std::int64_t rounds) {
  std::array<double, multiply_chains> chains;
  for (std::size_t chain = 0; chain < chains.size(); ++chain) chains[chain] = static_cast<double>(3 + chain);
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (double& chain : chains) chain = chain * 0.5 + 1;
  }
  return static_cast<float>(std::accumulate(chains.begin(), chains.end(), 0.0));
}

class ReferenceDevice final : public Device {
 public:
  std::string description() const override { return "reference (scalar, 1 thread)"; }
  Buffer allocate(std::int64_t bytes) override { return allocate_host(bytes); }
  Buffer allocate_far(std::int64_t bytes, const std::filesystem::path& file) override {
    return allocate_far_host(bytes, file);
  }
  Buffer adopt(const HostTensor& tensor) override { return adopt_host(tensor); }
  Ops& ops() override { return ops_; }
  DeviceSpeed measure() override { return measure_host(loops, alone_); }
  double measure_read() override { return measure_host_read(loops, alone_); }

 private:
  static constexpr SpeedLoops loops{sum_words, multiply_add, multiply_chains};
  ReferenceOps ops_;
  ThreadPool alone_{1};
};

}  // namespace

std::unique_ptr<Device> open_reference() {
  return std::make_unique<ReferenceDevice>();
}

}  // namespace precis::reference
