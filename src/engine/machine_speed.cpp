#include "precis/machine_speed.h"

#include "backend/factory.h"

namespace precis {

MachineSpeed measure_machine(const EngineOptions& options) {
  const DeviceSpeed speed = open_backend(options.backend, {.threads = options.threads})->measure();
  return {.read_bandwidth = speed.read_bytes, .peak_flops = speed.flops};
}

double measure_read_bandwidth(const EngineOptions& options) {
  return open_backend(options.backend, {.threads = options.threads})->measure_read();
}

}  // namespace precis
