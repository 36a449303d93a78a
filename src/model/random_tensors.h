// Weights that nobody trained: for running a geometry whose checkpoint is not there. Their products are as large as
// those of a model at the beginning of its training, so that every number on the way to the logits is an ordinary one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "tensor/tensor_view.h"

namespace precis {

// A tensor follows from seed, name, shape and type alone: the same on every machine and for any number of threads.
class RandomTensors {
 public:
  // `type`: f32, f16 or bf16. `threads` as in ThreadPool.
  RandomTensors(DType type, std::uint64_t seed, int threads);

  // Norms (vectors that are no bias) are ones; everything else is uniform with a standard deviation of 0.02. Throws
  // Error when the machine has no memory left for it.
  HostTensor make(const std::string& name, const std::vector<std::int64_t>& shape);

 private:
  template <typename Element>
  void fill(Element* elements, std::int64_t count, const std::vector<Element>& values, std::uint64_t key);

  DType type_;
  std::uint64_t seed_;
  ThreadPool pool_;
};

}  // namespace precis
