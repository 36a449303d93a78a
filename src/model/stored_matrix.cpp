#include "model/stored_matrix.h"

#include <cstring>

#include "base/error.h"

namespace precis {
namespace {

void expect_sizes(std::string_view name, const TensorView& view, const std::vector<std::int64_t>& shape) {
  if (view.shape != shape) fail("{}: shape {}, expected {}", name, shown_shape(view.shape), shown_shape(shape));
}

WeightFormat stored_format(const std::string& name, DType type) {
  switch (type) {
    case DType::i8:
      return WeightFormat::q8;
    case DType::u8:
      return WeightFormat::q4;
    case DType::f32:
    case DType::f16:
    case DType::bf16:
      return format_of(type);
    default:
      fail("{}: type {}, expected f32, f16 or bf16, or i8 (q8) or u8 (q4) with scales", name, name_of(type));
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
  return {outputs, format == WeightFormat::q4 ? inputs / 2 : inputs};
}

std::vector<std::int64_t> scale_shape(WeightFormat format, std::int64_t outputs, std::int64_t inputs) {
  return {outputs, (format == WeightFormat::q4 ? 2 : 1) * inputs / quantized_block};
}

StoredMatrix find_matrix(const TensorSource& source, const std::string& name, std::int64_t outputs,
                         std::int64_t inputs) {
  auto values = source.find(name);
  if (!values) fail("{}: no such tensor, expected shape {}", name, shown_shape(std::vector{outputs, inputs}));
  StoredMatrix matrix{.values = *std::move(values), .scales = {}, .format = WeightFormat::bf16};
  matrix.format = stored_format(name, matrix.values.view.type);
  expect_sizes(name, matrix.values.view, value_shape(matrix.format, outputs, inputs));
  if (!is_quantized(matrix.format)) return matrix;
  if (inputs % row_multiple(matrix.format) != 0) {
    fail("{}: {} of {} inputs, expected a multiple of {}", name, name_of(matrix.format), inputs,
         row_multiple(matrix.format));
  }
  const std::string scale = scale_name(name);
  const std::vector<std::int64_t> shape = scale_shape(matrix.format, outputs, inputs);
  auto scales = source.find(scale);
  if (!scales) fail("{}: no such tensor, expected shape {}: the scales of {}", scale, shown_shape(shape), name);
  if (scales->view.type != DType::f16) fail("{}: type {}, expected f16", scale, name_of(scales->view.type));
  expect_sizes(scale, scales->view, shape);
  matrix.scales = *std::move(scales);
  return matrix;
}

void check_scales(const std::string& name, const StoredMatrix& matrix) {
  if (!is_quantized(matrix.format)) return;
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
