#include "backend/reference/reference_device.h"

#include "backend/reference/reference_ops.h"
#include "device/host_memory.h"

namespace precis::reference {
namespace {

class ReferenceDevice final : public Device {
 public:
  std::string description() const override { return "reference (scalar, 1 thread)"; }
  Buffer allocate(std::int64_t bytes) override { return allocate_host(bytes); }
  Buffer adopt(const HostTensor& tensor) override { return adopt_host(tensor); }
  Ops& ops() override { return ops_; }

 private:
  ReferenceOps ops_;
};

}  // namespace

std::unique_ptr<Device> open_reference() {
  return std::make_unique<ReferenceDevice>();
}

}  // namespace precis::reference
