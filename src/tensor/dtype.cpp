#include "tensor/dtype.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"

namespace precis {
namespace {

struct TypeInfo {
  DType type;
  std::int64_t size;
  std::string_view name;
  std::string_view safetensors;  // empty: in no file, where such tensors come with scales that nobody here reads
};

constexpr std::array<TypeInfo, 10> types = {{
    {DType::f32, 4, "f32", "F32"},
    {DType::f16, 2, "f16", "F16"},
    {DType::bf16, 2, "bf16", "BF16"},
    {DType::i32, 4, "i32", "I32"},
    {DType::i64, 8, "i64", "I64"},
    {DType::i16, 2, "i16", "I16"},
    {DType::u8, 1, "u8", "U8"},
    {DType::i8, 1, "i8", "I8"},
    {DType::boolean, 1, "bool", "BOOL"},
    {DType::f8_e4m3, 1, "f8_e4m3", ""},
}};

const TypeInfo& info(DType type) {
  const auto index = static_cast<std::size_t>(type);
  PRECIS_CHECK(index < types.size());
  return types[index];
}

}  // namespace

std::int64_t size_of(DType type) {
  return info(type).size;
}
std::string_view name_of(DType type) {
  return info(type).name;
}
std::string_view safetensors_name(DType type) {
  return info(type).safetensors;
}

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (const TypeInfo& entry : types) {
    if (!name.empty() && entry.safetensors == name) return entry.type;
  }
  return std::nullopt;
}

float to_float(F8 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x80U) << 24;
  const std::uint32_t magnitude = value.bits & 0x7fU;
  if (magnitude == 0x7fU) return std::bit_cast<float>(sign | 0x7fc00000U);
  if (magnitude < 8) {  // a multiple of 2^-9
    const float small = std::ldexp(static_cast<float>(magnitude), -9);
    return sign != 0 ? -small : small;
  }
  return std::bit_cast<float>(sign | ((magnitude << 20) + (120U << 23)));
}

F8 to_f8(float value) {
  constexpr std::uint32_t largest = 0x43e00000U;          // 448
  constexpr std::uint32_t smallest_normal = 0x3c800000U;  // 2^-6
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 24) & 0x80U;
  if ((bits & 0x7fffffffU) > 0x7f800000U) return F8{static_cast<std::uint8_t>(sign | 0x7fU)};
  const std::uint32_t magnitude = std::min(bits & 0x7fffffffU, largest);
  if (magnitude < smallest_normal) {
    const float scaled = std::ldexp(std::bit_cast<float>(magnitude), 9);
    return F8{static_cast<std::uint8_t>(sign | static_cast<std::uint32_t>(std::nearbyint(scaled)))};
  }
  const std::uint32_t rounded = (magnitude + 0x7ffffU + ((magnitude >> 20) & 1U)) >> 20;
  return F8{static_cast<std::uint8_t>(sign | (rounded - (120U << 3)))};
}

float to_float(F16 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000U) << 16;
  const std::uint32_t exponent = (value.bits >> 10) & 0x1fU;
  const std::uint32_t fraction = value.bits & 0x3ffU;
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t widened = exponent == 31 ? 0xffU : exponent + 112;
  return std::bit_cast<float>(sign | (widened << 23) | (fraction << 13));
}

F16 to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return F16{static_cast<std::uint16_t>(sign | 0x7e00U)};
  if (magnitude >= 0x477ff000U) return F16{static_cast<std::uint16_t>(sign | 0x7c00U)};
  if (magnitude < 0x38800000U) {  // a subnormal half: a multiple of 2^-24
    const float scaled = std::ldexp(std::bit_cast<float>(magnitude), 24);
    return F16{static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::nearbyint(scaled)))};
  }
  const std::uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U) - (112U << 23);
  return F16{static_cast<std::uint16_t>(sign | (rounded >> 13))};
}

}  // namespace precis
