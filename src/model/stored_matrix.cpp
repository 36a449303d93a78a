#include "model/stored_matrix.h"

#include <cstring>

#include "base/error.h"

namespace precis {
namespace {

void expect_sizes(std::string_view name, const TensorView& view, const std::vector<std::int64_t>& shape) {
  if (view.shape != shape) fail("{}: shape {}, expected {}", name, shown_shape(view.shape), shown_shape(shape));
}

// Of `view`, whose rows say how many bits an integer has where its type leaves that open.
WeightFormat stored_format(const std::string& name, const TensorView& view, std::int64_t outputs, std::int64_t inputs) {
  switch (view.type) {
    case DType::i8:
      return WeightFormat::q8;
    case DType::u8:
      for (const WeightFormat format : {WeightFormat::q4, WeightFormat::q5, WeightFormat::q6}) {
        if (view.shape == value_shape(format, outputs, inputs)) return format;
      }
      fail("{}: u8 of shape {}, expected {} (q4), {} (q5) or {} (q6)", name, shown_shape(view.shape),
           shown_shape(value_shape(WeightFormat::q4, outputs, inputs)),
           shown_shape(value_shape(WeightFormat::q5, outputs, inputs)),
           shown_shape(value_shape(WeightFormat::q6, outputs, inputs)));
    case DType::f32:
    case DType::f16:
    case DType::bf16:
      return format_of(view.type);
    default:
      fail("{}: type {}, expected f32, f16 or bf16, or i8 (q8) or u8 (q6, q5, q4) with scales", name,
           name_of(view.type));
  }
}

}  // namespace

std::int64_t StoredMatrix::bytes() const {
  return values.view.bytes() + (is_quantized(format) ? scales.view.bytes() : 0);
}

std::string scale_name(std::string_view weight) {
  return fmt::format("{}_scale", weight);
}

DType value_type(WeightFormat format) {
  PRECIS_CHECK(is_quantized(format));
  return format == WeightFormat::q8 ? DType::i8 : DType::u8;
}

std::vector<std::int64_t> value_shape(WeightFormat format, std::int64_t outputs, std::int64_t inputs) {
  return {outputs, value_row_bytes(format, inputs)};
}

DType scale_type(WeightFormat format) {
  return has_minimum(format) ? DType::i16 : DType::f16;
}

std::vector<std::int64_t> scale_shape(std::int64_t outputs, std::int64_t inputs) {
  return {outputs, inputs / quantized_block};
}

StoredMatrix find_matrix(const TensorSource& source, const std::string& name, std::int64_t outputs,
                         std::int64_t inputs) {
  auto values = source.find(name);
  if (!values) fail("{}: no such tensor, expected shape {}", name, shown_shape(std::vector{outputs, inputs}));
  StoredMatrix matrix{.values = *std::move(values), .scales = {}, .format = WeightFormat::bf16};
  matrix.format = stored_format(name, matrix.values.view, outputs, inputs);
  expect_sizes(
      name, matrix.values.view,
      is_quantized(matrix.format) ? value_shape(matrix.format, outputs, inputs) : std::vector{outputs, inputs});
  if (!is_quantized(matrix.format)) return matrix;
  if (inputs % row_multiple(matrix.format) != 0) {
    fail("{}: {} of {} inputs, expected a multiple of {}", name, name_of(matrix.format), inputs,
         row_multiple(matrix.format));
  }
  const std::string scale = scale_name(name);
  const std::vector<std::int64_t> shape = scale_shape(outputs, inputs);
  auto scales = source.find(scale);
  if (!scales) fail("{}: no such tensor, expected shape {}: the scales of {}", scale, shown_shape(shape), name);
  const DType type = scale_type(matrix.format);
  if (scales->view.type != type) {
    fail("{}: type {}, expected {}: {} is {}", scale, name_of(scales->view.type), name_of(type), name,
         name_of(matrix.format));
  }
  expect_sizes(scale, scales->view, shape);
  matrix.scales = *std::move(scales);
  return matrix;
}

void check_scales(const std::string& name, const StoredMatrix& matrix) {
  if (matrix.format != WeightFormat::q8) return;
  const TensorView& view = matrix.scales.view;
  const auto rows = static_cast<std::size_t>(view.shape[0]);
  const std::size_t width = rows == 0 ? 0 : static_cast<std::size_t>(view.elements()) / rows;
  std::vector<std::uint16_t> row(width);
  for (std::size_t output = 0; output < rows; ++output) {
    std::memcpy(row.data(), view.data + output * width * sizeof(F16), width * sizeof(F16));
    int bad = 0;
    for (const std::uint16_t bits : row) bad |= (bits & 0x7c00U) == 0x7c00U ? 1 : 0;
    if (bad != 0) fail("{}: row {}: a scale that is not a finite number", scale_name(name), output);
  }
}

}  // namespace precis
