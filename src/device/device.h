// What a backend offers: memory and the operations of a decoder. One Device is one place where tensors live.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "tensor/tensor_view.h"

namespace precis {

class Ops;

// Memory on a device, or borrowed from the host where the device can read it. Shared by its users.
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::shared_ptr<void> memory, std::int64_t bytes) : memory_(std::move(memory)), bytes_(bytes) {}

  template <typename T = std::byte>
  T* as() const {
    return static_cast<T*>(memory_.get());
  }
  std::int64_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<void> memory_;
  std::int64_t bytes_ = 0;
};

// Bytes of a device's own memory.
struct DeviceMemory {
  std::int64_t total = 0;
  std::int64_t free = 0;  // just now; others may use it too
};

// What a device can do at most, as it was measured.
struct DeviceSpeed {
  double read_bytes = 0;  // a second, from memory that no cache holds
  double flops = 0;       // a second, of products as the operations compute them; a multiply-add counts as two
};

// Used by one thread at a time (the engine's); a backend may use more threads inside a call.
class Device {
 public:
  virtual ~Device() = default;

  // What it is, in words: "cpu (avx512, 2 threads)".
  virtual std::string description() const = 0;

  // Nothing where tensors live in the host's memory, which the system shares out.
  virtual std::optional<DeviceMemory> memory() { return std::nullopt; }

  // Bytes of its own memory that are gone once it is open: the driver's context and the program's code.
  virtual std::int64_t overhead() const { return 0; }

  // `bytes` of memory aligned to 64, contents undefined until written; pages that are never touched cost nothing
  // where the system can do that. Operations that were called before the buffer is dropped may still use it. Throws
  // Error when there is not so much.
  virtual Buffer allocate(std::int64_t bytes) = 0;

  // `bytes` of memory that is larger and slower than the device's own, and that the operations read and write where it
  // is: `file` mapped (a new one, which has no name once this returns), or, without one, what the device knows of.
  // Contents and users as of allocate(). Throws Error when there is not so much, or no file where one is wanted.
  virtual Buffer allocate_far(std::int64_t bytes, const std::filesystem::path& file) = 0;

  // So many bytes in so many tensors are about to be adopted: a device with memory of its own may take it at once.
  // Throws Error when there is not so much.
  virtual void expect(std::int64_t /*bytes*/, std::int64_t /*tensors*/) {}

  // A host tensor where the operations can read it: the same memory on a CPU (and then aligned for its type), a copy
  // elsewhere.
  virtual Buffer adopt(const HostTensor& tensor) = 0;

  // The operations run in the order in which they are called. Lives as long as the device.
  virtual Ops& ops() = 0;

  // Whether a row's bits follow from the row and RowRun::decoded: then the same row must be marked alike in every step.
  // False where they follow from the row alone, or are not promised to.
  virtual bool goes_by_decoded() const { return false; }

  // Measures what the operations are held against, with all that they may use (threads, cores, instruction set). Takes
  // about a second, and memory far larger than the caches while it lasts. Throws Error when there is not so much.
  virtual DeviceSpeed measure() = 0;

  // The read rate alone, from a look of some hundredths of a second: what there is of it just now, where others share
  // the memory. Otherwise as measure().
  virtual double measure_read() = 0;
};

}  // namespace precis
