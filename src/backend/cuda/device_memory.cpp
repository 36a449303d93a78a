#include "backend/cuda/device_memory.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/check.h"
#include "base/error.h"
#include "base/units.h"
#include "device/host_memory.h"

namespace precis::cuda {
namespace {

constexpr std::int64_t block_bytes = 8 << 20;
constexpr std::size_t ring_blocks = 4;
constexpr std::int64_t least_readback = 1 << 20;
// Pieces in a block, and in a slab, begin at multiples of this.
constexpr std::int64_t piece_alignment = 256;

}  // namespace

Stream::Stream() {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
}

Stream::~Stream() {
  cudaStreamDestroy(stream_);
}

void Stream::synchronize() const {
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

Buffer allocate_device(const std::shared_ptr<Stream>& stream, std::int64_t bytes) {
  PRECIS_CHECK(bytes >= 0, "{}", bytes);
  void* memory = nullptr;
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1));
  const cudaError_t status = cudaMalloc(&memory, size);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    std::size_t free = 0;
    std::size_t total = 0;
    cudaMemGetInfo(&free, &total);
    fail("cuda: cannot allocate {}: {} of the GPU's {} are free", shown_bytes(static_cast<double>(bytes)),
         shown_bytes(static_cast<double>(free)), shown_bytes(static_cast<double>(total)));
  }
  check(status, "cudaMalloc");
  return Buffer(std::shared_ptr<void>(memory,
                                      [stream](void* old) {
                                        // On a device that has failed there is nobody to be told.
                                        cudaStreamSynchronize(stream->get());
                                        cudaFree(old);
                                      }),
                bytes);
}

void Slab::make(const std::shared_ptr<Stream>& stream, std::int64_t bytes, std::int64_t buffers) {
  memory_ = Buffer();
  memory_ = allocate_device(stream, bytes + buffers * piece_alignment);
  used_ = 0;
}

Buffer Slab::take(std::int64_t bytes) {
  if (bytes > memory_.bytes() - used_) return {};
  const auto kept = std::make_shared<Buffer>(memory_);
  std::byte* const first = memory_.as<std::byte>() + used_;
  used_ += (bytes + piece_alignment - 1) / piece_alignment * piece_alignment;
  return Buffer(std::shared_ptr<void>(kept, first), bytes);
}

Buffer allocate_mapped(const std::shared_ptr<Stream>& stream, std::int64_t bytes) {
  PRECIS_CHECK(bytes >= 0, "{}", bytes);
  void* memory = nullptr;
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1));
  if (const cudaError_t status = cudaHostAlloc(&memory, size, cudaHostAllocMapped); status != cudaSuccess) {
    cudaGetLastError();
    if (is_lasting(status)) check(status, "cudaHostAlloc");
    fail("cuda: cannot allocate {} of pinned host memory: {}, {} are available",
         shown_bytes(static_cast<double>(bytes)), cudaGetErrorString(status),
         shown_bytes(static_cast<double>(available_host_memory())));
  }
  std::shared_ptr<void> kept(memory, [stream](void* old) {
    cudaStreamSynchronize(stream->get());  // as above
    cudaFreeHost(old);
  });
  void* address = nullptr;
  check(cudaHostGetDevicePointer(&address, memory, 0), "cudaHostGetDevicePointer");
  return Buffer(std::shared_ptr<void>(std::move(kept), address), bytes);
}

std::shared_ptr<std::byte> allocate_pinned(std::int64_t bytes) {
  void* memory = nullptr;
  check(cudaHostAlloc(&memory, static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1)), cudaHostAllocDefault),
        "cudaHostAlloc");
  return {static_cast<std::byte*>(memory), [](std::byte* old) { cudaFreeHost(old); }};
}

void Scratch::reserve(std::int64_t bytes) {
  if (bytes <= memory_.bytes()) return;
  ++moves_;
  memory_ = Buffer();  // first, for both together might not fit
  memory_ = allocate_device(stream_, bytes);
}

Readback::Readback() {
  check(cudaEventCreateWithFlags(&copied_, cudaEventDisableTiming), "cudaEventCreate");
}

Readback::~Readback() {
  cudaEventSynchronize(copied_);  // nothing may be on its way into memory that goes
  cudaEventDestroy(copied_);
}

void Readback::copy(const Stream& stream, const void* device, std::int64_t bytes) {
  if (bytes > bytes_) {
    wait();  // as above
    memory_.reset();
    bytes_ = 0;
    const std::int64_t wanted = std::max(bytes, least_readback);
    memory_ = allocate_pinned(wanted);
    bytes_ = wanted;
  }
  if (bytes > 0) {
    check(cudaMemcpyAsync(memory_.get(), device, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost, stream.get()),
          "cudaMemcpyAsync to the host");
  }
  check(cudaEventRecord(copied_, stream.get()), "cudaEventRecord");
}

const std::byte* Readback::wait() const {
  check(cudaEventSynchronize(copied_), "cudaEventSynchronize");  // at once where it was never recorded
  return memory_.get();
}

StagingRing::StagingRing(std::shared_ptr<Stream> stream) : stream_(std::move(stream)), blocks_(ring_blocks) {
  for (Block& block : blocks_) {
    block.memory = allocate_pinned(block_bytes);
    check(cudaEventCreateWithFlags(&block.sent, cudaEventDisableTiming), "cudaEventCreate");
  }
}

StagingRing::~StagingRing() {
  cudaStreamSynchronize(stream_->get());
  for (const Block& block : blocks_) {
    if (block.sent != nullptr) cudaEventDestroy(block.sent);
  }
}

void StagingRing::copy(void* device, const void* host, std::int64_t bytes) {
  auto* to = static_cast<std::byte*>(device);
  const auto* from = static_cast<const std::byte*>(host);
  while (bytes > 0) {
    if (used_ >= block_bytes) next_block();
    const std::int64_t piece = std::min(bytes, block_bytes - used_);
    std::byte* staged = blocks_[current_].memory.get() + used_;
    std::memcpy(staged, from, static_cast<std::size_t>(piece));
    check(cudaMemcpyAsync(to, staged, static_cast<std::size_t>(piece), cudaMemcpyHostToDevice, stream_->get()),
          "cudaMemcpyAsync to the device");
    used_ += (piece + piece_alignment - 1) / piece_alignment * piece_alignment;
    to += piece;
    from += piece;
    bytes -= piece;
  }
}

void StagingRing::next_block() {
  check(cudaEventRecord(blocks_[current_].sent, stream_->get()), "cudaEventRecord");
  current_ = (current_ + 1) % blocks_.size();
  check(cudaEventSynchronize(blocks_[current_].sent), "cudaEventSynchronize");  // at once where it was never recorded
  used_ = 0;
}

}  // namespace precis::cuda
