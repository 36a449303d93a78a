// Products: by own kernels for few rows and for several, where reading the weights is what takes time; by cuBLASLt for
// many.
#include <algorithm>
#include <optional>

#include "backend/cuda/cuda_ops.h"
#include "backend/cuda/kernels.h"
#include "base/checked.h"

namespace precis::cuda {
namespace {

// Rows up to which reading the weights takes longer than multiplying without tensor cores.
constexpr std::int64_t few_rows = 4;
// Rows that are converted and multiplied at a time: bounds the scratch memory. engine/scratch_plan.cpp counts on it and
// on the next.
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

FewRowsPart few_rows_part(const LinearPart& part) {
  return {.values = part.weight.data,
          .scales = part.weight.scales,
          .bias = part.bias,
          .y = part.y,
          .y_stride = part.y_stride,
          .outputs = narrow<std::int32_t>(part.weight.outputs)};
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
  for (const LinearPart& part : parts) few.parts[few.count++] = few_rows_part(part);
  return few;
}

// Calls each(parts) for parts that follow each other and may share a launch.
template <typename Each>
void for_formats(std::span<const LinearPart> parts, const Each& each) {
  for (std::size_t first = 0; first < parts.size();) {
    std::size_t last = first + 1;
    while (last < parts.size() && last - first < few_rows_parts &&
           parts[last].weight.format == parts[first].weight.format) {
      ++last;
    }
    each(parts.subspan(first, last - first));
    first = last;
  }
}

}  // namespace

void CudaOps::linear(const LinearArgs& args) {
  if (args.rows == 0 || args.parts.empty()) return;
  if (args.accumulate) forget(args.parts.front().y);
  if (deterministic_) return linear_alike(args);
  if (takes_several(args)) return linear_several(args, {});
  if (args.rows <= few_rows) return linear_few(args);
  for (std::int64_t row = 0; row < args.rows; row += rows_at_a_time) {
    linear_many(args, row, std::min(rows_at_a_time, args.rows - row));
  }
}

// Of few rows in one launch: what takes time is beginning a kernel and waiting for the one before. Bits are those of
// linear().
void CudaOps::shorten(const ShortenArgs& args) {
  const WeightView& keys = args.key_weight;
  const WeightView& queries = args.query_weight;
  if (args.key_rows != args.query_rows || args.key_rows > few_rows || keys.format != WeightFormat::f32 ||
      queries.format != keys.format || queries.inputs != keys.inputs || !has_chunks(keys.format, keys.inputs)) {
    return Ops::shorten(args);
  }
  const LinearPart parts[] = {{keys, nullptr, args.short_keys, keys.outputs},
                              {queries, nullptr, args.short_queries, queries.outputs}};
  const LinearArgs products{.x = args.keys, .x_stride = keys.inputs, .rows = args.key_rows, .parts = parts};
  launch_short_rows(few_rows_of(products, parts), {args.queries, args.slots, args.kv}, stream());
}

void CudaOps::linear_several(const LinearArgs& args, const RoundedRows& rounded) {
  for_formats(args.parts, [&](auto parts) {
    if (launch_several(args, parts, {}, rounded)) return;
    launch_few_rows(few_rows_of(args, parts), stream());
  });
}

void CudaOps::gate_up(const GateUpArgs& args) {
  const WeightView& gate = args.gate.weight;
  const std::int64_t width = gate.outputs;
  const bool alike = gate.format == args.up.weight.format;
  const auto do_rows = [&](std::int64_t first, std::int64_t rows) {
    float* y = args.y + first * width;
    LinearPart parts[] = {{gate, args.gate.bias, y, width}, {args.up.weight, args.up.bias, nullptr, width}};
    const LinearArgs products{
        .x = args.x + first * gate.inputs, .x_stride = gate.inputs, .rows = rows, .parts = parts, .norm = args.norm};
    if (alike && takes_several(products) && launch_several(products, parts, {.gated = true})) return;
    if (alike && takes_few(rows) && has_chunks(gate.format, gate.inputs)) {
      return launch_few_gated_rows(few_rows_of(normed_before(products), parts), stream());
    }
    parts[1].y = ups_.get<float>(rows * width);
    linear(products);
    launch_gate(y, parts[1].y, y, rows * width, stream());
  };
  for (std::int64_t row = 0; row < args.rows; row += rows_at_once()) {
    do_rows(row, std::min(rows_at_once(), args.rows - row));
  }
}

void CudaOps::mlp(const MlpArgs& args) {
  const WeightView& down = args.down.weight;
  const Operand operand = operand_of(down.format, exact_activations_);
  if (operand == Operand::f32 || takes_floats(down, args.rows)) return Ops::mlp(args);
  for (std::int64_t first = 0; first < args.rows; first += rows_at_once()) {
    const std::int64_t rows = std::min(rows_at_once(), args.rows - first);
    const RoundedRows gates = rounded_gates(args, first, rows);
    const LinearPart part{down, args.down.bias, args.x + first * down.outputs, down.outputs};
    const LinearArgs products{.x = args.gated + first * down.inputs,
                              .x_stride = down.inputs,
                              .rows = rows,
                              .parts = {&part, 1},
                              .accumulate = true,
                              .next = args.next};
    forget(part.y);
    if (takes_several(products)) {
      linear_several(products, gates);
    } else {
      linear_many(products, 0, rows, gates);
    }
  }
}

RoundedRows CudaOps::rounded_gates(const MlpArgs& args, std::int64_t first, std::int64_t rows) {
  const WeightView& gate = args.gate.weight;
  const std::int64_t width = gate.outputs;
  const Operand operand = operand_of(args.down.weight.format, false);
  void* to = gates_.get<std::byte>(rows * width * 2);
  float* gates = args.gated + first * width;
  LinearPart parts[] = {{gate, args.gate.bias, gates, width}, {args.up.weight, args.up.bias, nullptr, width}};
  const LinearArgs products{
      .x = args.x + first * gate.inputs, .x_stride = gate.inputs, .rows = rows, .parts = parts, .norm = args.norm};
  const SeveralRows several{.gated = true, .rounded = to, .rounds_to_half = operand == Operand::f16};
  if (!takes_several(products) || gate.format != args.up.weight.format || !launch_several(products, parts, several)) {
    parts[1].y = ups_.get<float>(rows * width);
    linear(products);
    launch_gate_round(gates, parts[1].y, rows * width, operand, to, stream());
  }
  return {static_cast<const std::byte*>(to), operand};
}

bool CudaOps::takes_few(std::int64_t rows) const {
  return rows <= few_rows || deterministic_;
}

std::int64_t CudaOps::rows_at_once() const {
  return deterministic_ ? most_several_rows : rows_at_a_time;
}

bool CudaOps::takes_floats(const WeightView& down, std::int64_t rows) const {
  if (down.inputs % 4 != 0) return true;
  return deterministic_ ? is_quantized(down.format) || !has_chunks(down.format, down.inputs) : rows <= few_rows;
}

void CudaOps::linear_few(const LinearArgs& args) {
  for_formats(args.parts, [&](auto parts) { launch_few_rows(few_rows_of(args, parts), stream()); });
}

bool CudaOps::takes_several(const LinearArgs& args) const {
  if (exact_activations_ || args.rows > most_several_rows) return false;
  if (args.rows < least_several_rows && !deterministic_) return false;
  return std::ranges::all_of(args.parts, [&](const LinearPart& part) {
    const WeightFormat format = part.weight.format;
    // Fewer rows of f16 have a kernel of their own, which rounds nothing.
    const bool is_for =
        format == WeightFormat::bf16 || (format == WeightFormat::f16 && (args.rows > few_rows || deterministic_));
    return is_for && has_chunks(format, part.weight.inputs);
  });
}

bool CudaOps::launch_several(const LinearArgs& args, std::span<const LinearPart> parts, SeveralRows several,
                             const RoundedRows& rounded) {
  const WeightView& weight = parts.front().weight;
  const Operand operand = operand_of(weight.format, false);
  several.rows = narrow<std::int32_t>(args.rows);
  several.inputs = narrow<std::int32_t>(weight.inputs);
  several.is_half = operand == Operand::f16;
  several.accumulate = args.accumulate;
  for (const LinearPart& part : parts) several.parts[several.count++] = few_rows_part(part);
  share_inputs(several, most_shares_);
  if (args.rows <= several_exact_rows && !deterministic_) {
    const auto is_aligned = [](const float* at) { return reinterpret_cast<std::uintptr_t>(at) % 16 == 0; };
    if (!is_aligned(args.x) || args.x_stride % 4 != 0 || !is_aligned(args.norm.weight) || !has_exact_room(several)) {
      return false;
    }
    several.exact_x = args.x;
    several.exact_stride = args.x_stride;
    several.norm = args.norm.weight;
    several.epsilon = args.norm.epsilon;
  } else if (!take_prepared(args, several)) {
    const bool is_rounded = rounded.x != nullptr && rounded.operand == operand;
    several.x = (is_rounded ? rounded : rounded_rows(args, weight.inputs, operand)).x;
  }
  const LinearPart& part = parts.front();
  const std::int64_t outputs = part.weight.outputs;
  const bool reads_prepared = several.squares != nullptr;  // which lie where the next ones would
  if (args.next.weight != nullptr && args.accumulate && args.parts.size() == 1 && part.y_stride == outputs &&
      !reads_prepared && prepares(args.rows, weight.format)) {
    const std::int32_t tiles = several_tiles(several);
    several.next = {.norm = args.next.weight,
                    .rows = nexts_.get<std::byte>(args.rows * outputs * 2),
                    .squares = squares_.get<float>(tiles * most_several_rows)};
    prepared_ = {.x = part.y,
                 .rows = args.rows,
                 .inputs = outputs,
                 .rounded = several.next.rows,
                 .norm = args.next.weight,
                 .squares = several.next.squares,
                 .squares_parts = tiles};
  }
  launch_several_rows(several, stream());
  return true;
}

bool CudaOps::prepares(std::int64_t rows, WeightFormat format) const {
  return format == WeightFormat::bf16 && rows > several_exact_rows && rows <= most_several_rows &&
         !exact_activations_ && !deterministic_;
}

bool CudaOps::take_prepared(const LinearArgs& args, SeveralRows& several) const {
  const PreparedRows& rows = prepared_;
  if (several.is_half || rows.x == nullptr || rows.x != args.x || rows.rows != args.rows ||
      rows.inputs != several.inputs || rows.inputs != args.x_stride || rows.norm != args.norm.weight) {
    return false;
  }
  several.x = rows.rounded;
  several.norm = rows.norm;
  several.epsilon = args.norm.epsilon;
  several.squares = rows.squares;
  several.squares_parts = rows.squares_parts;
  return true;
}

void CudaOps::forget(const float* written) {
  if (written == prepared_.x) prepared_ = {};
}

void CudaOps::linear_many(const LinearArgs& args, std::int64_t first_row, std::int64_t rows,
                          const RoundedRows& rounded) {
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
      take_rows(some, weight.inputs, rounded, product);
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

void CudaOps::take_rows(const LinearArgs& args, std::int64_t inputs, const RoundedRows& rounded, Product& product) {
  if (product.operand == Operand::f32 && args.norm.weight == nullptr) return;
  const bool is_rounded = rounded.x != nullptr && rounded.operand == product.operand;
  product.x = (is_rounded ? rounded : rounded_rows(args, inputs, product.operand)).x;
  product.x_stride = inputs;
}

RoundedRows CudaOps::rounded_rows(const LinearArgs& args, std::int64_t inputs, Operand operand) {
  auto* to = activations_.get<std::byte>(args.rows * inputs * (operand == Operand::f32 ? 4 : 2));
  if (args.norm.weight != nullptr) {
    launch_norm_round(args.x, args.x_stride, args.rows, inputs, args.norm, operand, to, stream());
  } else {
    launch_round(args.x, args.x_stride, args.rows, inputs, operand, to, stream());
  }
  return {to, operand};
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
