// A matrix in the device's memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/weight_format.h"

namespace precis {

// A matrix [outputs, inputs] as the checkpoint stores it: y = W x. Rows of values and rows of scales are each
// contiguous.
struct WeightView {
  const std::byte* data = nullptr;
  const F16* scales = nullptr;  // of quantized formats
  WeightFormat format = WeightFormat::bf16;
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;

  explicit operator bool() const { return data != nullptr; }
  const std::byte* row(std::int64_t output) const { return data + output * value_row_bytes(format, inputs); }
  const F16* row_scales(std::int64_t output) const {
    return scales + output * scale_row_bytes(format, inputs) / static_cast<std::int64_t>(sizeof(F16));
  }
  std::int64_t value_bytes() const { return outputs * value_row_bytes(format, inputs); }
  // Values and scales.
  std::int64_t bytes() const {
    return data == nullptr ? 0 : outputs * (value_row_bytes(format, inputs) + scale_row_bytes(format, inputs));
  }
};

}  // namespace precis
