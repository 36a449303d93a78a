// The stream that everything runs in, and memory of the GPU and of the host beside it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "device/device.h"

namespace precis::cuda {

// All operations and copies of a device run in one stream, in the order of their calls.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_; }
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
};

// `bytes` of the GPU's memory, aligned to 256. Its last user frees it after all that was called before. Throws Error
// that names the bytes asked for and those free.
Buffer allocate_device(const std::shared_ptr<Stream>& stream, std::int64_t bytes);

// Memory for many buffers, taken at once: each by itself would be rounded up to 2 MiB.
class Slab {
 public:
  // Room for so many bytes in so many buffers. What was taken from the room before stays its users'.
  void make(const std::shared_ptr<Stream>& stream, std::int64_t bytes, std::int64_t buffers);
  // Aligned to 256; nothing where there is not so much left.
  Buffer take(std::int64_t bytes);

 private:
  Buffer memory_;
  std::int64_t used_ = 0;
};

// `bytes` of the host's memory, which stay there, that the GPU's kernels read and write across the bus; at their
// address for the GPU. Otherwise as above.
Buffer allocate_mapped(const std::shared_ptr<Stream>& stream, std::int64_t bytes);

// `bytes` of host memory that the GPU can copy from and to while the host goes on.
std::shared_ptr<std::byte> allocate_pinned(std::int64_t bytes);

// Memory of the GPU for one operation at a time, which grows to the largest that was asked for and stays.
class Scratch {
 public:
  explicit Scratch(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}

  template <typename T>
  T* get(std::int64_t count) {
    reserve(count * static_cast<std::int64_t>(sizeof(T)));
    return memory_.as<T>();
  }
  std::int64_t bytes() const { return memory_.bytes(); }
  // Grows whenever the memory has moved, or was given back for more that there was not.
  std::int64_t moves() const { return moves_; }

 private:
  void reserve(std::int64_t bytes);

  std::shared_ptr<Stream> stream_;
  Buffer memory_;
  std::int64_t moves_ = 0;
};

// The GPU's memory -> the host: pinned memory that grows to the largest copy and stays.
class Readback {
 public:
  Readback();
  ~Readback();
  Readback(const Readback&) = delete;
  Readback& operator=(const Readback&) = delete;

  // After what was called in `stream` so far. The copy before it is lost, if nobody waited for it.
  void copy(const Stream& stream, const void* device, std::int64_t bytes);
  // What was copied last, once it is there; until the next copy.
  const std::byte* wait() const;

 private:
  std::shared_ptr<std::byte> memory_;
  std::int64_t bytes_ = 0;
  cudaEvent_t copied_ = nullptr;
};

// Host memory -> the GPU through a ring of pinned blocks: the source may be changed or go as soon as copy() returns,
// and one block is filled while the others are on their way.
class StagingRing {
 public:
  explicit StagingRing(std::shared_ptr<Stream> stream);
  ~StagingRing();
  StagingRing(const StagingRing&) = delete;
  StagingRing& operator=(const StagingRing&) = delete;

  void copy(void* device, const void* host, std::int64_t bytes);

 private:
  struct Block {
    std::shared_ptr<std::byte> memory;
    cudaEvent_t sent = nullptr;  // all copies from it that were called so far have ended
  };

  void next_block();

  std::shared_ptr<Stream> stream_;
  std::vector<Block> blocks_;
  std::size_t current_ = 0;
  std::int64_t used_ = 0;  // bytes of the current block
};

}  // namespace precis::cuda
