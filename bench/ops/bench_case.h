// What precis_ops_bench measures: operations of a backend at the shapes of real models.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "device/device.h"

namespace precis::bench {

// One call of an operation. Calls that follow each other should touch different memory where a step would, as the
// layers of a model do: what is in the cache by itself is measured else.
struct Work {
  double bytes = 0;            // weights, K and V that a call reads once
  double flops = 0;            // a multiplication and an addition are two
  std::function<void()> call;  // owns what it works on
};

struct Case {
  std::string name;                      // OPERATION/SHAPE
  std::function<Work(Device&)> prepare;  // called just before it is measured, its memory freed after
};

std::vector<Case> attention_cases();
std::vector<Case> draw_cases();
std::vector<Case> linear_cases();
std::vector<Case> machine_cases();

}  // namespace precis::bench
