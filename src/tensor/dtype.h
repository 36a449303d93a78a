// Element types, and the conversions between them that everything must agree on to the bit.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace precis {

enum class DType : std::uint8_t { f32, f16, bf16, i32, i64, i16, u8, i8, boolean, f8_e4m3 };

// Bytes of one element.
std::int64_t size_of(DType type);
// "f32", "bf16", ...
std::string_view name_of(DType type);
// The spelling of safetensors: "F32", "BF16", ...; nothing for a type that is unknown here.
std::optional<DType> dtype_from_safetensors(std::string_view name);
std::string_view safetensors_name(DType type);

// The upper half of a float.
struct Bf16 {
  std::uint16_t bits;
};

// IEEE binary16.
struct F16 {
  std::uint16_t bits;
};

// e4m3: a sign, four bits of exponent with a bias of 7, three of fraction; up to 448, no infinity, one NaN a sign.
struct F8 {
  std::uint8_t bits;
};

inline float to_float(Bf16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

// Rounds to nearest, ties to even; a NaN stays a NaN.
inline Bf16 to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return Bf16{static_cast<std::uint16_t>((bits >> 16) | 0x40U)};
  return Bf16{static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16)};
}

float to_float(F8 value);
// Rounds to nearest, ties to even; too large becomes +-448; a NaN stays a NaN.
F8 to_f8(float value);

float to_float(F16 value);
// Rounds to nearest, ties to even; too large becomes infinity; a NaN stays a NaN.
F16 to_f16(float value);

}  // namespace precis
