// e4m3 against its definition.
#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace precis {
namespace {

double defined(unsigned bits) {
  const int exponent = static_cast<int>(bits >> 3 & 15U);
  const double fraction = static_cast<double>(bits & 7U) / 8;
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -6) : std::ldexp(1 + fraction, exponent - 7);
  return (bits & 0x80U) != 0 ? -magnitude : magnitude;
}

TEST(F8Test, BytesAreWhatTheFormatSays) {
  for (unsigned bits = 0; bits < 256; ++bits) {
    const float value = to_float(F8{static_cast<std::uint8_t>(bits)});
    if ((bits & 0x7fU) == 0x7fU) {
      EXPECT_TRUE(std::isnan(value));
    } else {
      EXPECT_EQ(static_cast<double>(value), defined(bits)) << bits;
      EXPECT_EQ(std::signbit(value), bits >= 128) << bits;
    }
    EXPECT_EQ(to_f8(value).bits, bits);
  }
}

TEST(F8Test, RoundsToNearestEven) {
  for (unsigned bits = 0; bits < 0x7e; ++bits) {
    const float low = to_float(F8{static_cast<std::uint8_t>(bits)});
    const float high = to_float(F8{static_cast<std::uint8_t>(bits + 1)});
    const float middle = (low + high) / 2;
    const unsigned even = bits % 2 == 0 ? bits : bits + 1;
    EXPECT_EQ(to_f8(middle).bits, even);
    EXPECT_EQ(to_f8(-middle).bits, even | 0x80U);
    EXPECT_EQ(to_f8(std::nextafter(middle, 0.0F)).bits, bits);
    EXPECT_EQ(to_f8(std::nextafter(middle, 1000.0F)).bits, bits + 1);
  }
}

TEST(F8Test, StaysWithinTheLargest) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float value : {448.0F, 449.0F, 464.0F, 1e9F, infinity}) {
    EXPECT_EQ(to_float(to_f8(value)), 448.0F);
    EXPECT_EQ(to_float(to_f8(-value)), -448.0F);
  }
  EXPECT_TRUE(std::isnan(to_float(to_f8(std::nanf("")))));
  EXPECT_EQ(to_f8(1e-40F).bits, 0U);
  EXPECT_EQ(to_f8(-1e-40F).bits, 0x80U);
}

}  // namespace
}  // namespace precis
