// Products of many rows: these are converted first, all workers together, and then pass in blocks over panels of
// weights.
#include <algorithm>
#include <array>

#include "backend/cpu/cpu_ops.h"
#include "backend/cpu/linear_tasks.h"

namespace precis::cpu {
namespace {

constexpr std::int64_t float_bytes = sizeof(float);
// Rows that are converted by a task at least.
constexpr std::int64_t rows_converted = 8;

std::int64_t divided_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace

CpuOps::ConvertedRows CpuOps::convert_rows(const InputRows& rows, std::span<const LinearPart> parts) {
  pool_.while_waiting({});  // weights are read by many rows at a time: nothing waits for memory
  const std::int64_t group = kernels_.many_shape.group;
  const std::int64_t places = divided_up(rows.count, group) * group;
  ConvertedRows converted;
  converted.rows = places;
  std::array<bool, forms> used{};
  for (const LinearPart& part : parts) {
    used[static_cast<std::size_t>(form_of(part.weight, kernels_, exact_activations_))] = true;
  }
  std::array<std::int64_t, forms + 1> offsets{};
  for (std::size_t form = 0; form < forms; ++form) {
    const RowShape shape = kernels_.many_row_shape(static_cast<Form>(form), rows.inputs);
    converted.row_bytes[form] = shape.slice_bytes;
    offsets[form + 1] = offsets[form] + (used[form] ? places * shape.slices * shape.slice_bytes : 0);
  }
  std::byte* memory = converted_rows(offsets[forms]);
  for (std::size_t form = 0; form < forms; ++form) converted.x[form] = memory + offsets[form];
  reserve_scratch(group * rows.inputs);
  const std::int64_t task_rows = std::max(rows_converted, group);
  pool_.for_each(divided_up(rows.count, task_rows), [&](std::int64_t task, int worker) {
    const std::int64_t end = std::min(rows.count, (task + 1) * task_rows);
    for (std::int64_t row = task * task_rows; row < end; row += group) {
      ActivationRows from{};
      from.x = rows.x + row * rows.stride;
      from.x_stride = rows.stride;
      from.rows = std::min(group, end - row);
      from.inputs = rows.inputs;
      if (rows.norm.weight != nullptr) {
        float* normed = scratch(worker);
        for (std::int64_t r = 0; r < from.rows; ++r) {
          const float* x = from.x + r * rows.stride;
          kernels_.norm({x, rows.norm.weight, normed + r * rows.inputs, rows.inputs, rows.norm.epsilon});
        }
        from.x = normed;
        from.x_stride = rows.inputs;
      }
      for (std::size_t form = 0; form < forms; ++form) {
        if (!used[form]) continue;
        from.form = static_cast<Form>(form);
        from.row_stride = converted.row_bytes[form];
        from.slice_stride = places * from.row_stride;
        from.to = converted.x[form] + row * from.row_stride;
        kernels_.convert_many(from);
      }
    }
  });
  return converted;
}

// Rows [first_row, first_row + rows) of the converted ones, at most a block.
void CpuOps::multiply_block(const ConvertedRows& converted, std::int64_t first_row, std::int64_t rows,
                            const WeightView& weight, LinearTile tile, std::byte* scratch) {
  tile.rows = rows;
  tile.form = form_of(weight, kernels_, exact_activations_);
  const auto form = static_cast<std::size_t>(tile.form);
  tile.x_stride = converted.row_bytes[form];
  tile.slice_stride = converted.rows * tile.x_stride;
  tile.x = converted.x[form] + first_row * tile.x_stride;
  tile.scratch = scratch;
  kernels_.many(tile);
}

void CpuOps::linear_many(const LinearArgs& args, std::int64_t first_row, std::int64_t rows) {
  const ConvertedRows converted = convert_rows(
      {args.x + first_row * args.x_stride, args.x_stride, rows, args.parts[0].weight.inputs, args.norm}, args.parts);
  const ManyShape& shape = kernels_.many_shape;
  const std::int64_t row_blocks = divided_up(rows, shape.rows);
  const std::int64_t block =
      outputs_per_task(shape.outputs, outputs_of(args.parts), row_blocks, pool_.workers(), shape.step);
  const LinearTasks tasks(args.parts, [&](const LinearPart&) { return block; });
  reserve_scratch(divided_up(kernels_.many_scratch(shape.rows, args.parts[0].weight.inputs), float_bytes));
  pool_.for_each(tasks.count() * row_blocks, [&](std::int64_t index, int worker) {
    const LinearTasks::Task task = tasks.at(index % tasks.count());
    const std::int64_t row = index / tasks.count() * shape.rows;
    LinearTile tile = tile_of(task, task.part->y + (first_row + row) * task.part->y_stride + task.first);
    tile.accumulate = args.accumulate;
    multiply_block(converted, row, std::min(shape.rows, rows - row), task.part->weight, tile,
                   reinterpret_cast<std::byte*>(scratch(worker)));
  });
}

// The gate's products go to y, up's of a block to the worker's own memory.
void CpuOps::gate_up_many(const GateUpArgs& args, std::int64_t first_row, std::int64_t rows) {
  const std::int64_t inputs = args.gate.weight.inputs;
  const std::int64_t width = args.gate.weight.outputs;
  const LinearPart parts[] = {{args.gate.weight, args.gate.bias, args.y, width}, {args.up.weight, args.up.bias}};
  const ConvertedRows converted = convert_rows({args.x + first_row * inputs, inputs, rows, inputs, args.norm}, parts);
  const ManyShape& shape = kernels_.many_shape;
  const std::int64_t row_blocks = divided_up(rows, shape.rows);
  const std::int64_t block = outputs_per_task(shape.outputs, width, row_blocks, pool_.workers(), shape.step);
  const LinearTasks tasks({parts, 1}, [&](const LinearPart&) { return block; });
  const std::int64_t up_offset = divided_up(kernels_.many_scratch(shape.rows, inputs), float_bytes);
  reserve_scratch(up_offset + shape.rows * block);
  pool_.for_each(tasks.count() * row_blocks, [&](std::int64_t index, int worker) {
    const LinearTasks::Task task = tasks.at(index % tasks.count());
    const std::int64_t row = index / tasks.count() * shape.rows;
    const std::int64_t count = std::min(shape.rows, rows - row);
    auto* memory = reinterpret_cast<std::byte*>(scratch(worker));
    float* ups = scratch(worker) + up_offset;
    float* y = args.y + (first_row + row) * width + task.first;
    multiply_block(converted, row, count, args.gate.weight, tile_of(task, y), memory);
    const LinearPart up{args.up.weight, args.up.bias, ups, block};
    multiply_block(converted, row, count, args.up.weight, tile_of({&up, task.first, task.outputs}, ups), memory);
    for (std::int64_t r = 0; r < count; ++r)
      kernels_.gate({y + r * width, ups + r * block, y + r * width, task.outputs});
  });
}

}  // namespace precis::cpu
