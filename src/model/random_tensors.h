// Weights that nobody trained: for running a geometry whose checkpoint is not there. Their products are as large as
// those of a model at the beginning of its training, so that every number on the way to the logits is an ordinary one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "device/host_arena.h"
#include "model/weight_names.h"
#include "tensor/tensor_source.h"

namespace precis {

// A tensor follows from seed, name, shape and type alone: the same on every machine and for any number of threads.
// Used by one thread at a time.
class RandomTensors final : public TensorSource {
 public:
  // `type`: f32, f16 or bf16. `threads` as in ThreadPool.
  RandomTensors(std::vector<ExpectedTensor> tensors, DType type, std::uint64_t seed, int threads);

  // Made at each call. Norms (vectors that are no bias) are ones; everything else is uniform with a standard deviation
  // of 0.02. Throws Error when the machine has no memory left for it.
  std::optional<HostTensor> find(std::string_view name) const override;

 private:
  HostTensor make(std::string_view name, const std::vector<std::int64_t>& shape) const;
  template <typename Element>
  void fill(Element* elements, std::int64_t count, const std::vector<Element>& values, std::uint64_t key) const;

  DType type_;
  std::uint64_t seed_;
  std::map<std::string, std::vector<std::int64_t>, std::less<>> shapes_;
  mutable ThreadPool pool_;
  mutable HostArena memory_;
};

}  // namespace precis
