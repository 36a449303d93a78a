// The beginnings of the next product's weights, fetched by workers who would only wait otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "backend/cpu/kernels.h"

namespace precis::cpu {

// What one worker reads first of a product, as Kernels::few reads it: streams side by side, each from its beginning.
struct alignas(64) FirstWeights {
  const std::byte* values = nullptr;  // of the first stream; null: nothing
  const std::byte* scales = nullptr;
  std::int64_t streams = 0;
  std::int64_t stream_values = 0;  // bytes from one stream to the next
  std::int64_t stream_scales = 0;
};

// A model's products of few rows follow one another in the same order in each step. So what a worker will read next is
// what it read then, and memory need not rest while one thread has a norm, a rotation or a sample to compute. It is a
// guess: where it is wrong, some kilobytes were read for nothing.
class WeightsAhead {
 public:
  struct Product {
    std::vector<FirstWeights> first;  // [workers]; each is written and read by its worker alone
    const Product* following = nullptr;
  };

  // A product that begins with these weights is about to run. Between runs of the pool; valid as long as this.
  Product& begin(const std::byte* weights, int workers);

  // Fetches a bit of what `worker` reads first of `product` into the second-level cache; false: there are no more bits.
  static bool fetch(const Product& product, int worker, int bit);

 private:
  std::unordered_map<const std::byte*, Product> products_;  // by their first weights; as many as the models have
  Product* last_ = nullptr;
};

}  // namespace precis::cpu
