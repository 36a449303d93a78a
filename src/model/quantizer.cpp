#include "model/quantizer.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <initializer_list>

#include "base/error.h"

namespace precis {
namespace {

// The largest that q8's scales, which are f16, and the scales of the others stand for.
constexpr float largest_value = 65504;
constexpr std::int64_t rows_a_task = 8;

HostTensor allocate_tensor(HostArena& memory, DType type, std::vector<std::int64_t> shape) {
  TensorView view{nullptr, type, std::move(shape)};
  std::shared_ptr<const std::byte> data = memory.allocate(view.bytes());
  view.data = data.get();
  return {std::move(view), std::move(data)};
}

// One row, wherever it lies.
std::vector<float> row_of(const std::string& name, const TensorView& matrix, std::int64_t row) {
  const std::int64_t inputs = matrix.shape[1];
  return to_floats(name, {matrix.data + row * inputs * size_of(matrix.type), matrix.type, {inputs}});
}

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> ends) {
  return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return name.ends_with(end); });
}

// By what a bit less costs a weight, measured on the demo models
// (docs/quantization.md).
WeightFormat format_by_role(WeightFormat wanted, std::string_view name) {
  if (wanted == WeightFormat::q8 || wanted == WeightFormat::q6) return wanted;
  if (name.ends_with(".v_proj.weight")) return WeightFormat::q6;
  const bool least = ends_with_any(name, {".q_proj.weight", ".up_proj.weight", "_proj_summary.weight"});
  return least ? wanted : WeightFormat::q5;
}

}  // namespace

std::optional<WeightFormat> quantized_as(WeightFormat wanted, std::string_view name, std::int64_t inputs) {
  const WeightFormat format = format_by_role(wanted, name);
  if (inputs % row_multiple(format) != 0) return std::nullopt;
  return format;
}

std::optional<WeightFormat> quantized_as(WeightFormat wanted, const FormatChoice& choice, std::string_view name,
                                         std::int64_t inputs) {
  const auto chosen = choice.find(name);
  return chosen == choice.end() ? quantized_as(wanted, name, inputs) : chosen->second;
}

StoredMatrix Quantizer::quantize(const std::string& name, const StoredMatrix& plain, WeightFormat format,
                                 const RowWriter& write) {
  const TensorView& from = plain.values.view;
  const std::int64_t outputs = from.shape.at(0);
  const std::int64_t inputs = from.shape.at(1);
  PRECIS_CHECK(!is_quantized(plain.format) && is_quantized(format) && inputs % row_multiple(format) == 0);
  StoredMatrix matrix{.values = allocate_tensor(memory_, value_type(format), value_shape(format, outputs, inputs)),
                      .scales = allocate_tensor(memory_, scale_type(format), scale_shape(outputs, inputs)),
                      .format = format};
  auto* values = const_cast<std::byte*>(matrix.values.view.data);
  auto* scales = const_cast<std::byte*>(matrix.scales.view.data);
  std::atomic<std::int64_t> bad_row = outputs;
  pool_.for_each((outputs + rows_a_task - 1) / rows_a_task, [&](std::int64_t task, int) {
    const std::int64_t end = std::min(outputs, (task + 1) * rows_a_task);
    for (std::int64_t row = task * rows_a_task; row < end; ++row) {
      const std::vector<float> floats = row_of(name, from, row);
      const bool fits =
          std::all_of(floats.begin(), floats.end(), [](float value) { return std::abs(value) <= largest_value; });
      if (!fits) {
        std::int64_t seen = bad_row.load();
        while (row < seen && !bad_row.compare_exchange_weak(seen, row)) {
        }
        continue;
      }
      std::byte* row_values = values + row * value_row_bytes(format, inputs);
      F16* row_scales = reinterpret_cast<F16*>(scales + row * scale_row_bytes(format, inputs));
      if (write) {
        write(floats, row_values, row_scales);
      } else {
        quantize_row(format, floats, row_values, row_scales);
      }
    }
  });
  if (bad_row < outputs) {
    fail("{}: row {}: a number that is not finite or above {}, and cannot be quantized", name, bad_row.load(),
         largest_value);
  }
  return matrix;
}

}  // namespace precis
