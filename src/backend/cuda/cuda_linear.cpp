// Products: by own kernels for few rows, where reading the weights is what takes time; by cuBLASLt for many.
#include <algorithm>
#include <optional>

#include "backend/cuda/cuda_ops.h"
#include "backend/cuda/kernels.h"
#include "base/checked.h"

namespace precis::cuda {
namespace {

// Rows up to which reading the weights takes longer than multiplying without tensor cores.
constexpr std::int64_t few_rows = 4;
// Rows that are converted and multiplied at a time: bounds the scratch memory.
constexpr std::int64_t rows_at_a_time = 8192;
// Of weights dequantized at a time.
constexpr std::int64_t stripe_bytes = 64 << 20;

Operand operand_of(WeightFormat format, bool exact) {
  if (exact || format == WeightFormat::f32) return Operand::f32;
  return format == WeightFormat::f16 ? Operand::f16 : Operand::bf16;
}

bool is_stored_as(WeightFormat format, Operand operand) {
  return !is_quantized(format) && operand_of(format, false) == operand;
}

// `parts`: some of the call's, of one format.
FewRows few_rows_of(const LinearArgs& args, std::span<const LinearPart> parts) {
  FewRows few{.x = args.x,
              .x_stride = args.x_stride,
              .rows = narrow<std::int32_t>(args.rows),
              .inputs = narrow<std::int32_t>(parts.front().weight.inputs),
              .format = parts.front().weight.format,
              .accumulate = args.accumulate,
              .norm = args.norm.weight,
              .epsilon = args.norm.epsilon,
              .count = 0,
              .parts = {}};
  for (const LinearPart& part : parts) {
    few.parts[few.count++] = {.values = part.weight.data,
                              .scales = part.weight.scales,
                              .bias = part.bias,
                              .y = part.y,
                              .y_stride = part.y_stride,
                              .outputs = narrow<std::int32_t>(part.weight.outputs)};
  }
  return few;
}

}  // namespace

void CudaOps::linear(const LinearArgs& args) {
  if (args.rows == 0 || args.parts.empty()) return;
  if (args.rows <= few_rows) return linear_few(args);
  for (std::int64_t row = 0; row < args.rows; row += rows_at_a_time) {
    linear_many(args, row, std::min(rows_at_a_time, args.rows - row));
  }
}

void CudaOps::gate_up(const GateUpArgs& args) {
  const WeightView& gate = args.gate.weight;
  const std::int64_t width = gate.outputs;
  const bool joined =
      args.rows <= few_rows && gate.format == args.up.weight.format && has_chunks(gate.format, gate.inputs);
  const auto do_rows = [&](std::int64_t first, std::int64_t rows) {
    float* y = args.y + first * width;
    float* ups = joined ? nullptr : ups_.get<float>(rows * width);
    const LinearPart parts[] = {{gate, args.gate.bias, y, width}, {args.up.weight, args.up.bias, ups, width}};
    const LinearArgs products{
        .x = args.x + first * gate.inputs, .x_stride = gate.inputs, .rows = rows, .parts = parts, .norm = args.norm};
    if (joined) return launch_few_gated_rows(few_rows_of(products, parts), stream());
    linear(products);
    launch_gate(y, ups, y, rows * width, stream());
  };
  for (std::int64_t row = 0; row < args.rows; row += rows_at_a_time) {
    do_rows(row, std::min(rows_at_a_time, args.rows - row));
  }
}

// Parts of one format share a launch.
void CudaOps::linear_few(const LinearArgs& args) {
  for (std::size_t first = 0; first < args.parts.size();) {
    std::size_t last = first + 1;
    while (last < args.parts.size() && last - first < few_rows_parts &&
           args.parts[last].weight.format == args.parts[first].weight.format) {
      ++last;
    }
    launch_few_rows(few_rows_of(args, args.parts.subspan(first, last - first)), stream());
    first = last;
  }
}

void CudaOps::linear_many(const LinearArgs& args, std::int64_t first_row, std::int64_t rows) {
  LinearArgs some = args;
  some.x += first_row * args.x_stride;
  some.rows = rows;
  std::optional<Product> taken;  // of the part before
  for (const LinearPart& whole : args.parts) {
    LinearPart part = whole;
    part.y += first_row * part.y_stride;
    const WeightView& weight = part.weight;
    const Operand operand = operand_of(weight.format, exact_activations_);
    Product product{.operand = operand,
                    .x = some.x,
                    .x_stride = some.x_stride,
                    .y = part.y,
                    .y_stride = part.y_stride,
                    .rows = rows,
                    .outputs = weight.outputs,
                    .inputs = weight.inputs,
                    .accumulate = args.accumulate};
    if (taken && taken->operand == operand) {
      product.x = taken->x;
      product.x_stride = taken->x_stride;
    } else {
      take_rows(some, weight.inputs, product);
      taken = product;
    }
    if (multiply(some, part, product)) {
      if (part.bias != nullptr) {
        launch_add_bias(part.bias, part.y, part.y_stride, rows, weight.outputs, stream());
      }
      continue;
    }
    some.parts = std::span(&part, 1);
    linear_few(some);
  }
}

void CudaOps::take_rows(const LinearArgs& args, std::int64_t inputs, Product& product) {
  if (product.operand == Operand::f32 && args.norm.weight == nullptr) return;
  const std::int64_t element_bytes = product.operand == Operand::f32 ? 4 : 2;
  void* to = activations_.get<std::byte>(args.rows * inputs * element_bytes);
  if (args.norm.weight != nullptr) {
    launch_norm_round(args.x, args.x_stride, args.rows, inputs, args.norm, product.operand, to, stream());
  } else {
    launch_round(args.x, args.x_stride, args.rows, inputs, product.operand, to, stream());
  }
  product.x = to;
  product.x_stride = inputs;
}

// Without bias. False, and nothing is done, where there is no way.
bool CudaOps::multiply(const LinearArgs& args, const LinearPart& part, Product product) {
  const WeightView& weight = part.weight;
  if (is_stored_as(weight.format, product.operand)) {
    product.weights = weight.data;
    return products_.multiply(product);
  }
  if (!has_chunks(weight.format, weight.inputs)) return false;
  const std::int64_t row_bytes = weight.inputs * (product.operand == Operand::f32 ? 4 : 2);
  const std::int64_t most = std::clamp<std::int64_t>(stripe_bytes / row_bytes, 1, weight.outputs);
  for (std::int64_t output = 0; output < weight.outputs; output += most) {
    WeightView stripe = weight;
    stripe.data = weight.row(output);
    stripe.scales = weight.row_scales(output);
    stripe.outputs = std::min(most, weight.outputs - output);
    void* dequantized = weights_.get<std::byte>(most * row_bytes);
    launch_dequantize(stripe, product.operand, dequantized, stream());
    product.weights = dequantized;
    product.y = part.y + output;
    product.outputs = stripe.outputs;
    if (products_.multiply(product)) continue;
    // Rows of some lengths have no kernel: as few at a time as the own one takes.
    const LinearPart one{stripe, nullptr, product.y, part.y_stride};
    LinearArgs own = args;
    own.parts = std::span(&one, 1);
    linear_few(own);
  }
  return true;
}

}  // namespace precis::cuda
