// How much of what is left a worker takes at a time.
#pragma once

#include <cstdint>

namespace precis::cpu {

// Things of `left` > 0 for the next of `workers` to ask, at least one: much at first, as memory is read fastest in long
// streams, and one by one at last, so that the workers end together.
//
// The workers get four fifths together, each as much, or half where they are many. The less is kept back, the fewer
// shares there are, and of a product each costs half a microsecond: with half kept back two cores of Zen 5 took 1.04
// (bf16) to 1.06 (q4) times as long for a step. But the longer, too, do all wait for one who was held up: with a fifth
// kept back eight cores of Emerald Rapids took 1.1, 16 took 1.08 times as long.
constexpr std::int64_t share_of(std::int64_t left, std::int64_t workers) {
  constexpr std::int64_t few_workers = 2;
  const std::int64_t share = workers <= few_workers ? left * 4 / (5 * workers) : left / (2 * workers);
  return share > 1 ? share : 1;
}

}  // namespace precis::cpu
