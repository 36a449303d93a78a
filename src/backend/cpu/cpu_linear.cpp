// How products are cut over the workers: few rows go straight over blocks of weights, many are converted first and then
// pass in blocks over panels of weights.
#include <algorithm>
#include <array>
#include <atomic>

#include "backend/cpu/cpu_ops.h"

namespace precis::cpu {
namespace {

static_assert(static_cast<int>(Format::f32) == static_cast<int>(WeightFormat::f32) &&
              static_cast<int>(Format::f16) == static_cast<int>(WeightFormat::f16) &&
              static_cast<int>(Format::bf16) == static_cast<int>(WeightFormat::bf16) &&
              static_cast<int>(Format::q8) == static_cast<int>(WeightFormat::q8) &&
              static_cast<int>(Format::q4) == static_cast<int>(WeightFormat::q4));

constexpr std::size_t forms = 4;
constexpr std::int64_t float_bytes = sizeof(float);
// Weights that a worker of few rows takes at least: what it reads in about as long as it takes to ask for more.
constexpr std::int64_t least_weight_bytes = 16 << 10;
// Multiplications below which waking the workers costs more than they save (1 to 2 us).
constexpr std::int64_t worth_sharing = 32768;
// Rows that are converted at a time, and those of a task.
constexpr std::int64_t slab_rows = 1024;
constexpr std::int64_t row_block = 192;
constexpr std::int64_t panel_step = 8;  // outputs of a panel

std::int64_t divided_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

Form form_of(const WeightView& weight, const Kernels& kernels, bool exact) {
  if (weight.format == WeightFormat::q8) return Form::shorts;
  if (weight.format == WeightFormat::q4) return Form::bytes;
  return weight.format == WeightFormat::bf16 && kernels.multiplies_halves && !exact ? Form::halves : Form::floats;
}

// Outputs of a task: `most`, but few enough for every worker to get some.
std::int64_t outputs_per_task(std::int64_t most, std::int64_t outputs, std::int64_t row_tasks, int workers,
                              std::int64_t step) {
  const std::int64_t shared = divided_up(outputs * row_tasks, std::int64_t{4} * workers);
  return divided_up(std::max<std::int64_t>(std::min(most, shared), 1), step) * step;
}

// The tasks of a call: for each part its blocks of outputs.
struct Tasks {
  std::span<const LinearPart> parts;
  std::int64_t outputs = 0;  // of all parts
  std::int64_t count = 0;

  struct Task {
    const LinearPart* part;
    std::int64_t first;  // output
    std::int64_t outputs;
  };

  // `block_of(part)`: its outputs a task.
  template <typename BlockOf>
  Task at(std::int64_t index, const BlockOf& block_of) const {
    std::int64_t last = index + 1;
    return joined(index, last, block_of);
  }

  // As one, the tasks from `index` up to `last` that are of the same part; `index` becomes the first that is left.
  template <typename BlockOf>
  Task joined(std::int64_t& index, std::int64_t last, const BlockOf& block_of) const {
    std::int64_t before = 0;
    for (const LinearPart& part : parts) {
      const std::int64_t block = block_of(part);
      const std::int64_t tasks = divided_up(part.weight.outputs, block);
      if (index < before + tasks) {
        const std::int64_t first = (index - before) * block;
        const std::int64_t end = (std::min(last, before + tasks) - before) * block;
        index = std::min(last, before + tasks);
        return {&part, first, std::min(end, part.weight.outputs) - first};
      }
      before += tasks;
    }
    return {};
  }
};

template <typename BlockOf>
Tasks tasks_of(std::span<const LinearPart> parts, const BlockOf& block_of) {
  Tasks tasks{parts};
  for (const LinearPart& part : parts) {
    tasks.outputs += part.weight.outputs;
    tasks.count += divided_up(part.weight.outputs, block_of(part));
  }
  return tasks;
}

// Hands out tasks [0, count) in shares that shrink: long ones first, as memory is read fastest in long streams, single
// tasks last, so that the workers end together.
class Shares {
 public:
  Shares(std::int64_t count, int workers) : count_(count), workers_(workers) {}

  struct Share {
    std::int64_t first = 0;
    std::int64_t last = 0;  // first: nothing is left
  };

  // Any worker.
  Share next() {
    std::int64_t first = next_.load(std::memory_order_relaxed);
    while (first < count_) {
      const std::int64_t taken = std::max<std::int64_t>((count_ - first) / (2 * workers_), 1);
      if (next_.compare_exchange_weak(first, first + taken, std::memory_order_relaxed)) return {first, first + taken};
    }
    return {};
  }

 private:
  const std::int64_t count_;
  const std::int64_t workers_;
  std::atomic<std::int64_t> next_ = 0;
};

std::int64_t outputs_of(std::span<const LinearPart> parts) {
  std::int64_t outputs = 0;
  for (const LinearPart& part : parts) outputs += part.weight.outputs;
  return outputs;
}

// What a tile takes of its task; the activations are left open.
LinearTile tile_of(const Tasks::Task& task, std::int64_t first_row, bool accumulate) {
  const LinearPart& part = *task.part;
  LinearTile tile{};
  tile.values = part.weight.row(task.first);
  if (is_quantized(part.weight.format)) {
    tile.scales = reinterpret_cast<const std::uint16_t*>(part.weight.row_scales(task.first));
  }
  tile.format = static_cast<Format>(part.weight.format);
  tile.outputs = task.outputs;
  tile.inputs = part.weight.inputs;
  tile.bias = part.bias == nullptr ? nullptr : part.bias + task.first;
  tile.y = part.y + first_row * part.y_stride + task.first;
  tile.y_stride = part.y_stride;
  tile.accumulate = accumulate;
  return tile;
}

}  // namespace

void CpuOps::linear(const LinearArgs& args) {
  if (args.rows == 0 || args.parts.empty()) return;
  const bool quantized = std::any_of(args.parts.begin(), args.parts.end(),
                                     [](const LinearPart& part) { return is_quantized(part.weight.format); });
  if (args.rows <= (quantized ? few_quantized_rows : few_rows)) return linear_few(args);
  for (std::int64_t row = 0; row < args.rows; row += slab_rows) {
    linear_many(args, row, std::min(slab_rows, args.rows - row));
  }
}

void CpuOps::linear_few(const LinearArgs& args) {
  const std::int64_t inputs = args.parts[0].weight.inputs;
  const std::int64_t outputs = outputs_of(args.parts);
  const int workers = args.rows * outputs * inputs < worth_sharing ? 1 : pool_.workers();
  const auto block_of = [&](const LinearPart& part) {
    const std::int64_t row_bytes = std::max<std::int64_t>(value_row_bytes(part.weight.format, inputs), 1);
    return outputs_per_task(least_weight_bytes / row_bytes, outputs, 1, workers, 8);
  };
  const Tasks tasks = tasks_of(args.parts, block_of);
  // Each worker converts the rows for itself: they are few, and it saves a meeting of all.
  std::array<std::int64_t, forms + 1> offsets{};
  for (std::size_t form = 0; form < forms; ++form) {
    const RowShape shape = kernels_.row_shape(static_cast<Form>(form), inputs);
    const bool used = static_cast<Form>(form) != Form::floats;
    offsets[form + 1] = offsets[form] + (used ? args.rows * shape.slices * shape.slice_bytes : 0);
  }
  reserve_scratch(offsets[forms] / float_bytes);
  Shares shares(tasks.count, workers);
  const auto work = [&](int worker) {
    std::array<bool, forms> converted{};
    // The rows as a product with this weight takes them.
    const auto take_rows = [&](LinearTile& tile) {
      if (tile.form == Form::floats) {
        tile.x = reinterpret_cast<const std::byte*>(args.x);
        tile.x_stride = args.x_stride * float_bytes;
        return;
      }
      const auto form = static_cast<std::size_t>(tile.form);
      std::byte* rows = reinterpret_cast<std::byte*>(scratch(worker)) + offsets[form];
      tile.x = rows;
      tile.x_stride = (offsets[form + 1] - offsets[form]) / args.rows;
      const std::int64_t slice_bytes = kernels_.row_shape(tile.form, inputs).slice_bytes;
      for (std::int64_t row = 0; row < args.rows && !converted[form]; ++row) {
        kernels_.convert({args.x + row * args.x_stride, inputs, tile.form, rows + row * tile.x_stride, slice_bytes});
      }
      converted[form] = true;
    };
    for (Shares::Share share = shares.next(); share.first < share.last; share = shares.next()) {
      while (share.first < share.last) {
        const Tasks::Task task = tasks.joined(share.first, share.last, block_of);
        LinearTile tile = tile_of(task, 0, args.accumulate);
        tile.rows = args.rows;
        tile.form = form_of(task.part->weight, kernels_, exact_activations_);
        take_rows(tile);
        kernels_.few(tile);
      }
    }
  };
  if (workers == 1) return work(0);
  pool_.run([&](int worker, int) { work(worker); });
}

void CpuOps::linear_many(const LinearArgs& args, std::int64_t first_row, std::int64_t rows) {
  const std::int64_t inputs = args.parts[0].weight.inputs;
  const std::int64_t outputs = outputs_of(args.parts);
  std::array<bool, forms> used{};
  for (const LinearPart& part : args.parts) {
    used[static_cast<std::size_t>(form_of(part.weight, kernels_, exact_activations_))] = true;
  }
  std::array<RowShape, forms> shapes{};
  std::array<std::int64_t, forms + 1> offsets{};
  for (std::size_t form = 0; form < forms; ++form) {
    shapes[form] = kernels_.row_shape(static_cast<Form>(form), inputs);
    offsets[form + 1] = offsets[form] + (used[form] ? rows * shapes[form].slices * shapes[form].slice_bytes : 0);
  }
  std::byte* converted = converted_rows(offsets[forms]);
  constexpr std::int64_t rows_converted = 8;  // by a task
  pool_.for_each(divided_up(rows, rows_converted), [&](std::int64_t task, int) {
    const std::int64_t end = std::min(rows, (task + 1) * rows_converted);
    for (std::int64_t row = task * rows_converted; row < end; ++row) {
      for (std::size_t form = 0; form < forms; ++form) {
        if (!used[form]) continue;
        kernels_.convert({args.x + (first_row + row) * args.x_stride, inputs, static_cast<Form>(form),
                          converted + offsets[form] + row * shapes[form].slice_bytes, rows * shapes[form].slice_bytes});
      }
    }
  });

  const std::int64_t row_blocks = divided_up(rows, row_block);
  const std::int64_t block = outputs_per_task(4 * panel_step, outputs, row_blocks, pool_.workers(), panel_step);
  const auto block_of = [&](const LinearPart&) { return block; };
  const Tasks tasks = tasks_of(args.parts, block_of);
  reserve_scratch(divided_up(kernels_.many_scratch(row_block), float_bytes));
  pool_.for_each(tasks.count * row_blocks, [&](std::int64_t index, int worker) {
    const Tasks::Task task = tasks.at(index % tasks.count, block_of);
    const std::int64_t row = index / tasks.count * row_block;
    LinearTile tile = tile_of(task, first_row + row, args.accumulate);
    tile.rows = std::min(row_block, rows - row);
    tile.form = form_of(task.part->weight, kernels_, exact_activations_);
    const auto form = static_cast<std::size_t>(tile.form);
    tile.x_stride = shapes[form].slice_bytes;
    tile.slice_stride = rows * shapes[form].slice_bytes;
    tile.x = converted + offsets[form] + row * tile.x_stride;
    tile.scratch = reinterpret_cast<std::byte*>(scratch(worker));
    kernels_.many(tile);
  });
}

}  // namespace precis::cpu
