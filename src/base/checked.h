// Integer arithmetic on numbers that came from a file: every count is checked before it is multiplied or allocated.
#pragma once

#include <concepts>
#include <limits>

#include "base/error.h"

namespace precis {

// a * b, or an Error that names `what`.
template <std::integral T>
T checked_mul(T a, T b, std::string_view what) {
  T product;
  if (__builtin_mul_overflow(a, b, &product)) fail("{}: {} x {} is too large", what, a, b);
  return product;
}

// a + b, or an Error that names `what`.
template <std::integral T>
T checked_add(T a, T b, std::string_view what) {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) fail("{}: {} + {} is too large", what, a, b);
  return sum;
}

// `value` as another integer type; a value that does not fit is a broken invariant.
template <std::integral To, std::integral From>
To narrow(From value) {
  PRECIS_CHECK(std::in_range<To>(value), "{}", value);
  return static_cast<To>(value);
}

}  // namespace precis
