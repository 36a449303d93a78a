#include "backend/cuda/speed.h"

#include <algorithm>
#include <functional>

#include "backend/cuda/check.h"
#include "base/error.h"

namespace precis::cuda {
namespace {

constexpr std::int64_t read_bytes = std::int64_t{4} << 30;
constexpr std::int64_t side = 8192;  // of the matrices multiplied
constexpr int passes = 8;

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// Of the best of some passes, after one that is not counted.
double seconds(const Stream& stream, const std::function<void()>& work) {
  const Event begin;
  const Event end;
  float best = 0;
  for (int pass = 0; pass <= passes; ++pass) {
    check(cudaEventRecord(begin.get(), stream.get()), "cudaEventRecord");
    work();
    check(cudaEventRecord(end.get(), stream.get()), "cudaEventRecord");
    stream.synchronize();
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "cudaEventElapsedTime");
    if (pass == 1 || (pass > 1 && milliseconds < best)) best = milliseconds;
  }
  return static_cast<double>(best) / 1000;
}

}  // namespace

double measure_read_speed(const std::shared_ptr<Stream>& stream) {
  std::size_t free = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  const std::int64_t bytes = std::min(read_bytes, static_cast<std::int64_t>(free) / 2) / 1024 * 1024;
  const Buffer memory = allocate_device(stream, bytes);
  const Buffer sum = allocate_device(stream, sizeof(std::uint32_t));
  check(cudaMemsetAsync(memory.as<void>(), 1, static_cast<std::size_t>(bytes), stream->get()), "cudaMemsetAsync");
  const double time = seconds(*stream, [&] {
    launch_sum_words(memory.as<std::uint32_t>(), bytes / 4, sum.as<std::uint32_t>(), stream->get());
  });
  return static_cast<double>(bytes) / time;
}

namespace {

double measure_products(const std::shared_ptr<Stream>& stream, MatrixProducts& products) {
  constexpr std::int64_t operand_bytes = side * side * 2;
  const Buffer weights = allocate_device(stream, operand_bytes);
  const Buffer x = allocate_device(stream, operand_bytes);
  const Buffer y = allocate_device(stream, 2 * operand_bytes);
  launch_fill(weights.as<std::uint16_t>(), side * side, stream->get());
  launch_fill(x.as<std::uint16_t>(), side * side, stream->get());
  const Product product{.operand = Operand::bf16,
                        .weights = weights.as<void>(),
                        .x = x.as<void>(),
                        .x_stride = side,
                        .y = y.as<float>(),
                        .y_stride = side,
                        .rows = side,
                        .outputs = side,
                        .inputs = side,
                        .accumulate = false};
  const double time = seconds(*stream, [&] {
    if (!products.multiply(product)) fail("cuda: cuBLASLt has no product of {0} x {0} x {0}", side);
  });
  return 2.0 * side * side * side / time;
}

}  // namespace

DeviceSpeed measure_speed(const std::shared_ptr<Stream>& stream, MatrixProducts& products) {
  return {.read_bytes = measure_read_speed(stream), .flops = measure_products(stream, products)};
}

}  // namespace precis::cuda
