#include "calibration/input_moments.h"

#include <algorithm>
#include <array>

#include "base/checked.h"

namespace precis {
namespace {

constexpr std::int64_t float_bytes = sizeof(float);

// Squares of this many elements a side are turned one by one, so that both sides stay in the first-level cache.
constexpr std::int64_t square = 32;

void turn(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t width, float* columns) {
  for (std::int64_t first_row = 0; first_row < rows; first_row += square) {
    for (std::int64_t first = 0; first < width; first += square) {
      for (std::int64_t i = first; i < std::min(width, first + square); ++i) {
        for (std::int64_t row = first_row; row < std::min(rows, first_row + square); ++row) {
          columns[i * rows + row] = x[row * stride + i];
        }
      }
    }
  }
}

}  // namespace

InputMoments::InputMoments(Device& device, std::int64_t inputs, std::int64_t rows)
    : device_(device),
      inputs_(inputs),
      columns_(static_cast<std::size_t>(checked_mul(inputs, rows, "rows of calibration text"))),
      turned_(device.allocate(inputs * rows * float_bytes)),
      sums_(device.allocate(checked_mul(inputs * inputs, float_bytes, "moments of inputs"))) {}

void InputMoments::add(const LinearArgs& args) {
  Ops& ops = device_.ops();
  const auto* x =
      static_cast<const float*>(ops.on_host(args.x, ((args.rows - 1) * args.x_stride + inputs_) * float_bytes));
  turn(x, args.x_stride, args.rows, inputs_, columns_.data());
  ops.to_device(turned_.as<void>(), columns_.data(), inputs_ * args.rows * float_bytes);
  // The columns are rows of activations and a matrix of weights at once: y[i][j] = sum over rows of x[i] x[j].
  const WeightView weight{.data = turned_.as<std::byte>(),
                          .scales = nullptr,
                          .format = WeightFormat::f32,
                          .outputs = inputs_,
                          .inputs = args.rows};
  const std::array<LinearPart, 1> parts = {{{weight, nullptr, sums_.as<float>(), inputs_}}};
  ops.linear({turned_.as<float>(), args.rows, inputs_, parts, rows_ > 0});
  rows_ += args.rows;
}

const float* InputMoments::sums() const {
  return static_cast<const float*>(device_.ops().on_host(sums_.as<void>(), inputs_ * inputs_ * float_bytes));
}

}  // namespace precis
