// Series of operations that come again and again, recorded once and started as a whole (CUDA graphs).
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "backend/cuda/device_memory.h"

namespace precis::cuda {

// Used by the device's thread alone.
class GraphCache {
 public:
  explicit GraphCache(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}

  // As Ops::repeat. The first time `work` is done as it is, so that whatever grows has grown, the second time it is
  // recorded. `memory`: changes when memory that recorded work uses has moved; then nothing recorded holds any more.
  void repeat(std::span<const std::int64_t> key, const std::function<std::int64_t()>& memory,
              const std::function<void()>& work);

 private:
  struct Entry {
    std::vector<std::int64_t> key;
    bool seen = false;
    std::shared_ptr<CUgraphExec_st> graph;  // none until it is seen twice
  };

  void forget_moved(std::int64_t memory);
  Entry& entry_of(std::span<const std::int64_t> key);
  std::shared_ptr<CUgraphExec_st> record(const std::function<void()>& work) const;

  std::shared_ptr<Stream> stream_;
  std::int64_t memory_ = 0;
  std::list<Entry> entries_;  // lately used first
};

}  // namespace precis::cuda
