// Formats of a model's matrices within a budget of bits, by what four bits cost each on calibration text.
#pragma once

#include <functional>
#include <optional>

#include "calibration/bit_budget.h"
#include "calibration/residual_rows.h"
#include "checkpoint/checkpoint.h"
#include "device/device.h"
#include "model/model_spec.h"

namespace precis {

struct FoundFormats {
  FormatChoice choice;  // of every matrix that can be quantized
  double cost = 0;      // nats: what the matrices cost, each alone, together, by what they cost with four bits
};

// `bits`: a weight, on average, from bits_of(q4) on. Every matrix is rounded to q4 (those of layers and the head on a
// part of the windows, as Calibrator does) and its divergence is measured on another part, where there is one.
// `proceed` is called before each pass over text; false: stop, and nothing is returned. Throws Error as Calibrator
// does.
std::optional<FoundFormats> find_formats(const Checkpoint& checkpoint, const ModelSpec& spec, Device& device,
                                         int threads, const TextWindows& windows, double bits,
                                         const std::function<bool()>& proceed);

}  // namespace precis
