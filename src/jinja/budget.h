// What rendering one conversation may cost.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/error.h"

namespace precis::jinja {

struct Limits {
  std::int64_t steps = 2'000'000;    // parts of the template evaluated, items looked at
  std::int64_t bytes = 256ll << 20;  // of texts and lists made or searched on the way, all together
  std::int64_t output = 64ll << 20;  // bytes of the rendered text
};

// Counts down; throws Error where a limit is passed. What is about to be made is charged before it is allocated.
class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}

  void step(std::size_t count = 1) {
    if (count > left(limits_.steps, steps_)) fail("the template takes more than {} steps", limits_.steps);
    steps_ += static_cast<std::int64_t>(count);
  }
  void bytes(std::size_t count) {
    if (count > left(limits_.bytes, bytes_)) fail("the template makes more than {} bytes of text", limits_.bytes);
    bytes_ += static_cast<std::int64_t>(count);
  }
  // Of a list, whose items are values.
  void items(std::size_t count) {
    step(count);
    bytes(count * 64);
  }
  // What has been written in all, and will be.
  void output(std::size_t size) const {
    if (size > static_cast<std::size_t>(limits_.output))
      fail("the rendered text is longer than {} bytes", limits_.output);
  }

 private:
  static std::size_t left(std::int64_t limit, std::int64_t used) { return static_cast<std::size_t>(limit - used); }

  Limits limits_;
  std::int64_t steps_ = 0;
  std::int64_t bytes_ = 0;
};

}  // namespace precis::jinja
