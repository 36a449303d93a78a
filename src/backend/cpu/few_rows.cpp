// Products of a few rows: every worker prepares the rows for itself and goes straight over long shares of weights.
#include <algorithm>
#include <array>

#include "backend/cpu/cpu_ops.h"
#include "backend/cpu/linear_tasks.h"

namespace precis::cpu {
namespace {

constexpr std::int64_t float_bytes = sizeof(float);
constexpr std::int64_t alignment = 64;
// Weights of a task: what is read in about as long as it takes to ask for more, twice over.
constexpr std::int64_t task_weight_bytes = 32 << 10;
// Multiplications below which waking the workers costs more than they save (1 to 2 us).
constexpr std::int64_t worth_sharing = 32768;

// Where a worker keeps the rows in each form; as floats only where they are normed.
struct RowsLayout {
  RowsLayout(const Kernels& kernels, const InputRows& rows) {
    for (std::size_t form = 0; form < forms; ++form) {
      const RowShape shape = kernels.few_row_shape(static_cast<Form>(form), rows.inputs);
      const bool used = static_cast<Form>(form) != Form::floats || rows.norm.weight != nullptr;
      row_bytes[form] = shape.slices * shape.slice_bytes;
      slice_bytes[form] = shape.slice_bytes;
      offsets[form + 1] = offsets[form] + (used ? rows.count * row_bytes[form] : 0);
    }
  }
  std::int64_t bytes() const { return offsets[forms]; }

  std::array<std::int64_t, forms> row_bytes{};
  std::array<std::int64_t, forms> slice_bytes{};
  std::array<std::int64_t, forms + 1> offsets{};
};

// The rows as one worker has them, made when they are first needed: they are few, and it saves a meeting of all.
class OwnRows {
 public:
  OwnRows(const Kernels& kernels, const InputRows& rows, const RowsLayout& layout, std::byte* memory)
      : kernels_(kernels), rows_(rows), layout_(layout), memory_(memory) {}

  // For a tile whose form is set.
  void give(LinearTile& tile) {
    tile.rows = rows_.count;
    const bool floats = tile.form == Form::floats;
    if (floats && rows_.norm.weight == nullptr) {
      tile.x = reinterpret_cast<const std::byte*>(rows_.x);
      tile.x_stride = rows_.stride * float_bytes;
      return;
    }
    const auto form = static_cast<std::size_t>(tile.form);
    if (!made_[form]) make(tile.form);
    tile.x = at(form, 0);
    tile.x_stride = layout_.row_bytes[form];
  }

 private:
  static constexpr auto as_floats = static_cast<std::size_t>(Form::floats);

  std::byte* at(std::size_t form, std::int64_t row) const {
    return memory_ + layout_.offsets[form] + row * layout_.row_bytes[form];
  }

  void make(Form form) {
    const bool is_normed = rows_.norm.weight != nullptr;
    if (is_normed && !made_[as_floats]) make_normed();
    if (form == Form::floats) return;
    const auto index = static_cast<std::size_t>(form);
    kernels_.convert({.x = is_normed ? reinterpret_cast<const float*>(at(as_floats, 0)) : rows_.x,
                      .x_stride = is_normed ? layout_.row_bytes[as_floats] / float_bytes : rows_.stride,
                      .rows = rows_.count,
                      .inputs = rows_.inputs,
                      .form = form,
                      .to = at(index, 0),
                      .row_stride = layout_.row_bytes[index],
                      .slice_stride = layout_.slice_bytes[index]});
    made_[index] = true;
  }

  void make_normed() {
    for (std::int64_t row = 0; row < rows_.count; ++row) {
      kernels_.norm({rows_.x + row * rows_.stride, rows_.norm.weight, reinterpret_cast<float*>(at(as_floats, row)),
                     rows_.inputs, rows_.norm.epsilon});
    }
    made_[as_floats] = true;
  }

  const Kernels& kernels_;
  const InputRows& rows_;
  const RowsLayout& layout_;
  std::byte* memory_;
  std::array<bool, forms> made_{};
};

std::int64_t block_of(const Kernels& kernels, const LinearPart& part, std::int64_t outputs, int workers) {
  const std::int64_t row_bytes = std::max<std::int64_t>(value_row_bytes(part.weight.format, part.weight.inputs), 1);
  return outputs_per_task(task_weight_bytes / row_bytes, outputs, 1, workers, kernels.few_step);
}

// Asks for a worker's first weights, so that they come while it makes its rows.
void begin_reading(WeightsAhead::Product& product, const WorkerTasks& todo, const Kernels& kernels, int worker) {
  constexpr int bits = 16;  // as much as memory gives in that time
  product.first[static_cast<std::size_t>(worker)] = beginnings_of(todo.following(), kernels);
  for (int bit = 0; bit < bits && WeightsAhead::fetch(product, worker, bit); ++bit) {
  }
}

}  // namespace

int CpuOps::workers_for(std::int64_t products) const {
  return products < worth_sharing ? 1 : pool_.workers();
}

WeightsAhead::Product& CpuOps::begin_product(const WeightView& weight) {
  WeightsAhead::Product& product = ahead_.begin(weight.data, pool_.workers());
  if (product.following == nullptr) {
    pool_.while_waiting({});
  } else {
    pool_.while_waiting({product.following, [](const void* following, int worker, int bit) noexcept {
                           return WeightsAhead::fetch(*static_cast<const WeightsAhead::Product*>(following), worker,
                                                      bit);
                         }});
  }
  return product;
}

template <typename Work>
void CpuOps::on_workers(int workers, const Work& work) {
  if (workers == 1) return work(0);
  pool_.run([&](int worker, int) { work(worker); });
}

void CpuOps::linear_few(const LinearArgs& args) {
  const InputRows rows{args.x, args.x_stride, args.rows, args.parts[0].weight.inputs, args.norm};
  const std::int64_t outputs = outputs_of(args.parts);
  const int workers = workers_for(rows.count * outputs * rows.inputs);
  const LinearTasks tasks(args.parts,
                          [&](const LinearPart& part) { return block_of(kernels_, part, outputs, workers); });
  const RowsLayout layout(kernels_, rows);
  reserve_scratch(layout.bytes() / float_bytes);
  Shares shares(tasks.count(), workers);
  WeightsAhead::Product& product = begin_product(args.parts[0].weight);
  on_workers(workers, [&](int worker) {
    WorkerTasks todo(tasks, shares, worker);
    begin_reading(product, todo, kernels_, worker);
    OwnRows own(kernels_, rows, layout, reinterpret_cast<std::byte*>(scratch(worker)));
    for (LinearTasks::Task task = todo.next(); task.part != nullptr; task = todo.next()) {
      LinearTile tile = tile_of(task, task.part->y + task.first);
      tile.accumulate = args.accumulate;
      tile.form = form_of(task.part->weight, kernels_, exact_activations_);
      tile.next = weights_of(todo.following());
      own.give(tile);
      kernels_.few(tile);
    }
  });
}

// The gate's products go to y, up's to the worker's own memory.
void CpuOps::gate_up_few(const GateUpArgs& args) {
  const InputRows rows{args.x, args.gate.weight.inputs, args.rows, args.gate.weight.inputs, args.norm};
  const std::int64_t width = args.gate.weight.outputs;
  const int workers = workers_for(rows.count * 2 * width * rows.inputs);
  const LinearPart gate{args.gate.weight, args.gate.bias, args.y, width};
  const std::int64_t block = block_of(kernels_, gate, width, workers);
  const LinearTasks tasks({&gate, 1}, [&](const LinearPart&) { return block; });
  const RowsLayout layout(kernels_, rows);
  Shares shares(tasks.count(), workers);
  const std::int64_t up_stride = shares.longest() * block;
  const std::int64_t up_offset = (layout.bytes() + alignment - 1) / alignment * alignment / float_bytes;
  reserve_scratch(up_offset + rows.count * up_stride);
  WeightsAhead::Product& product = begin_product(args.gate.weight);
  on_workers(workers, [&](int worker) {
    OwnRows own(kernels_, rows, layout, reinterpret_cast<std::byte*>(scratch(worker)));
    const LinearPart up{args.up.weight, args.up.bias, scratch(worker) + up_offset, up_stride};
    const auto multiply = [&](const LinearTasks::Task& task, float* y, const LinearTasks::Task& following) {
      LinearTile tile = tile_of(task, y);
      tile.form = form_of(task.part->weight, kernels_, exact_activations_);
      tile.next = weights_of(following);
      own.give(tile);
      kernels_.few(tile);
    };
    WorkerTasks todo(tasks, shares, worker);
    begin_reading(product, todo, kernels_, worker);
    for (LinearTasks::Task task = todo.next(); task.part != nullptr; task = todo.next()) {
      const LinearTasks::Task same_of_up{&up, task.first, task.outputs};
      multiply(task, gate.y + task.first, same_of_up);
      multiply(same_of_up, up.y, todo.following());
      for (std::int64_t row = 0; row < rows.count; ++row) {
        float* y = gate.y + row * width + task.first;
        kernels_.gate({y, up.y + row * up_stride, y, task.outputs});
      }
    }
  });
}

}  // namespace precis::cpu
