// Products at the shapes of Qwen3-0.6B (hidden 1024, ffn 3072, vocabulary 151936), and of a model of a few million
// weights. Matrices are taken in turn from more memory than any cache holds, as a step takes its layers.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <random>

#include "bench_case.h"
#include "device/ops.h"

namespace precis::bench {
namespace {

struct Shape {
  const char* name;
  std::int64_t inputs;
  std::vector<std::int64_t> outputs;  // of each part
  std::int64_t least_bytes;           // of weights to go round in
};

class LinearWork {
 public:
  LinearWork(Device& device, const Shape& shape, WeightFormat format, std::int64_t rows)
      : ops_(device.ops()), shape_(shape), format_(format), rows_(rows) {
    for (const std::int64_t count : shape.outputs) outputs_ += count;
    const std::int64_t matrix_bytes = outputs_ * value_row_bytes(format, shape.inputs);
    matrices_ = std::max<std::int64_t>(shape.least_bytes / matrix_bytes, 1);
    fill(device);
    x_.resize(static_cast<std::size_t>(rows * shape.inputs));
    std::normal_distribution<float> normal;
    for (float& value : x_) value = normal(random_);
    y_.resize(static_cast<std::size_t>(rows * outputs_));
  }

  double bytes() const {
    return static_cast<double>(outputs_ *
                               (value_row_bytes(format_, shape_.inputs) + scale_row_bytes(format_, shape_.inputs)));
  }
  double flops() const { return 2.0 * static_cast<double>(rows_ * outputs_ * shape_.inputs); }

  // The product with the next matrix.
  void call() {
    std::vector<LinearPart>& parts = parts_;
    parts.clear();
    std::int64_t first = next_ * outputs_;
    float* y = y_.data();
    for (const std::int64_t count : shape_.outputs) {
      WeightView whole{values_.as<std::byte>(), scales_.as<F16>(), format_, count, shape_.inputs};
      whole.data = whole.row(first);
      if (is_quantized(format_)) whole.scales = whole.row_scales(first);
      parts.push_back({whole, nullptr, y, outputs_});
      first += count;
      y += count;
    }
    next_ = (next_ + 1) % matrices_;
    ops_.linear({x_.data(), shape_.inputs, rows_, parts});
  }

 private:
  // Rows are repeated: what their numbers are does not matter here, where they lie does.
  void fill(Device& device) {
    constexpr std::int64_t distinct = 64;
    const std::int64_t count = matrices_ * outputs_;
    const std::int64_t value_bytes = value_row_bytes(format_, shape_.inputs);
    const std::int64_t scale_bytes = scale_row_bytes(format_, shape_.inputs);
    values_ = device.allocate(count * value_bytes);
    scales_ = device.allocate(std::max<std::int64_t>(count * scale_bytes, 1));
    std::normal_distribution<float> normal(0, 0.02F);
    std::vector<float> row(static_cast<std::size_t>(shape_.inputs));
    for (std::int64_t output = 0; output < count; ++output) {
      std::byte* values = values_.as<std::byte>() + output * value_bytes;
      std::byte* scales = scales_.as<std::byte>() + output * scale_bytes;
      if (output >= distinct) {
        std::copy_n(values - distinct * value_bytes, value_bytes, values);
        std::copy_n(scales - distinct * scale_bytes, scale_bytes, scales);
        continue;
      }
      for (float& value : row) value = normal(random_);
      if (is_quantized(format_)) {
        quantize_row(format_, row, values, reinterpret_cast<F16*>(scales));
        continue;
      }
      for (std::size_t i = 0; i < row.size(); ++i) {
        if (format_ == WeightFormat::f32) {
          reinterpret_cast<float*>(values)[i] = row[i];
        } else {
          reinterpret_cast<std::uint16_t*>(values)[i] =
              format_ == WeightFormat::f16 ? to_f16(row[i]).bits : to_bf16(row[i]).bits;
        }
      }
    }
  }

  Ops& ops_;
  Shape shape_;
  WeightFormat format_;
  std::int64_t rows_;
  std::mt19937_64 random_;
  std::int64_t outputs_ = 0;
  std::int64_t matrices_ = 0;
  std::int64_t next_ = 0;
  Buffer values_;
  Buffer scales_;
  std::vector<LinearPart> parts_;
  std::vector<float> x_;
  std::vector<float> y_;
};

}  // namespace

std::vector<Case> linear_cases() {
  constexpr std::int64_t large = std::int64_t{256} << 20;
  constexpr std::int64_t small = std::int64_t{4} << 20;
  const std::vector<Shape> shapes = {{"qkv", 1024, {2048, 1024, 1024}, large},
                                     {"gate_up", 1024, {3072, 3072}, large},
                                     {"down", 3072, {1024}, large},
                                     {"head", 1024, {151936}, large},
                                     {"tiny_qkv", 384, {384, 128, 128}, small},
                                     {"tiny_gate_up", 384, {1024, 1024}, small},
                                     {"tiny_down", 1024, {384}, small}};
  std::vector<Case> cases;
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::f16, WeightFormat::f32, WeightFormat::q8,
                                    WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    for (const Shape& shape : shapes) {
      for (const std::int64_t rows : {1, 4, 8, 16, 64, 512}) {
        cases.push_back({fmt::format("linear/{}/{}/{}", name_of(format), shape.name, rows), [=](Device& device) {
                           const auto work = std::make_shared<LinearWork>(device, shape, format, rows);
                           return Work{work->bytes(), work->flops(), [work] { work->call(); }};
                         }});
      }
    }
  }
  return cases;
}

}  // namespace precis::bench
