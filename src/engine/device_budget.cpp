#include "engine/device_budget.h"

#include <string>

#include "base/error.h"
#include "base/units.h"

namespace precis {
namespace {

std::string shown(std::int64_t bytes) {
  return shown_bytes(static_cast<double>(bytes));
}

}  // namespace

std::int64_t pool_share(double share, const DeviceMemory& memory, const DeviceNeeds& needs) {
  const auto wanted = static_cast<std::int64_t>(share * static_cast<double>(memory.total));
  if (wanted <= needs.all()) {
    fail("gpu_memory_utilization: {:g} of the GPU's {} is {}, expected more than the {} of weights ({}) and steps ({})",
         share, shown(memory.total), shown(wanted), shown(needs.all()), shown(needs.weights),
         shown(needs.workspace + needs.scratch));
  }
  return wanted - needs.all();
}

}  // namespace precis
