// What operations do to single numbers and heads.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "tensor/dtype.h"

namespace precis::reference {

// Element `index` of a K or V.
inline float element(const void* data, DType type, std::int64_t index) {
  if (type == DType::f32) return static_cast<const float*>(data)[index];
  if (type == DType::f8_e4m3) return to_float(static_cast<const F8*>(data)[index]);
  return to_float(static_cast<const Bf16*>(data)[index]);
}

inline void set_element(void* data, DType type, std::int64_t index, float value) {
  if (type == DType::f32) {
    static_cast<float*>(data)[index] = value;
  } else if (type == DType::f8_e4m3) {
    static_cast<F8*>(data)[index] = to_f8(value);
  } else {
    PRECIS_CHECK(type == DType::bf16, "KV is not kept in {}", name_of(type));
    static_cast<Bf16*>(data)[index] = to_bf16(value);
  }
}

// Turns the pairs (x[i], x[i + half]) by the angle whose cosine is rotation[i] and whose sine is rotation[half + i].
inline void rotate(float* x, const float* rotation, std::int64_t half) {
  for (std::int64_t i = 0; i < half; ++i) {
    const float cosine = rotation[i];
    const float sine = rotation[half + i];
    const float a = x[i];
    const float b = x[i + half];
    x[i] = a * cosine - b * sine;
    x[i + half] = b * cosine + a * sine;
  }
}

}  // namespace precis::reference
