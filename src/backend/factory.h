// The one place where a backend is chosen by name. Nobody else includes a backend's headers.
#pragma once

#include <memory>
#include <string_view>

#include "device/device.h"
#include "device/device_traits.h"

namespace precis {

struct BackendOptions {
  int threads = 0;  // 0: as many as there are processors for this process
  // Activations meet weights as floats, where they might be rounded to 16 bits to be faster.
  bool exact_activations = false;
  // A row's bits follow from the row and RowRun::decoded alone, on every backend: on cuda that costs speed, the others
  // are so anyway.
  bool deterministic = false;
};

// `name`: "cuda", "cpu", "reference" or "auto": cuda where this build has it and the machine a GPU for it, else cpu.
// Throws Error that lists the names, or says why there is no cuda here.
std::unique_ptr<Device> open_backend(std::string_view name, const BackendOptions& options);

// What open_backend() would open, by its name ("auto" is decided), and its traits, without touching a GPU: "auto" is
// cuda where this build has it and there is an NVIDIA driver. Throws Error that lists the names; cuda is told of in any
// build.
struct BackendForecast {
  std::string_view name;
  DeviceTraits traits;
};
BackendForecast forecast_backend(std::string_view name, const BackendOptions& options);

}  // namespace precis
