// The one place where a backend is chosen by name. Nobody else includes a backend's headers.
#pragma once

#include <memory>
#include <string_view>

#include "device/device.h"

namespace precis {

struct BackendOptions {
  int threads = 0;  // 0: as many as there are processors for this process
  // Activations meet 16-bit weights as floats, where they might be rounded to bf16 to be faster.
  bool exact_activations = false;
};

// `name`: "cpu", "reference" or "auto" (the fastest that this machine has). Throws Error that lists the names.
std::unique_ptr<Device> open_backend(std::string_view name, const BackendOptions& options);

}  // namespace precis
