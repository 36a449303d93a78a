#include "backend/cpu/linear_tasks.h"

#include <algorithm>
#include <bit>

namespace precis::cpu {
namespace {

static_assert(static_cast<int>(Format::f32) == static_cast<int>(WeightFormat::f32) &&
              static_cast<int>(Format::f16) == static_cast<int>(WeightFormat::f16) &&
              static_cast<int>(Format::bf16) == static_cast<int>(WeightFormat::bf16) &&
              static_cast<int>(Format::q8) == static_cast<int>(WeightFormat::q8) &&
              static_cast<int>(Format::q6) == static_cast<int>(WeightFormat::q6) &&
              static_cast<int>(Format::q5) == static_cast<int>(WeightFormat::q5) &&
              static_cast<int>(Format::q4) == static_cast<int>(WeightFormat::q4));

std::int64_t divided_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace

Form form_of(const WeightView& weight, const Kernels& kernels, bool exact) {
  if (weight.format == WeightFormat::q8) return kernels.multiplies_tiles && !exact ? Form::tile_shorts : Form::shorts;
  if (has_minimum(weight.format)) return Form::bytes;
  return weight.format == WeightFormat::bf16 && kernels.multiplies_halves && !exact ? Form::halves : Form::floats;
}

std::int64_t outputs_of(std::span<const LinearPart> parts) {
  std::int64_t outputs = 0;
  for (const LinearPart& part : parts) outputs += part.weight.outputs;
  return outputs;
}

std::int64_t outputs_per_task(std::int64_t most, std::int64_t outputs, std::int64_t row_tasks, int workers,
                              std::int64_t step) {
  const std::int64_t shared = divided_up(outputs * row_tasks, std::int64_t{4} * workers);
  return divided_up(std::max<std::int64_t>(std::min(most, shared), 1), step) * step;
}

LinearTasks::Task LinearTasks::at(std::int64_t index) const {
  return joined(index, index + 1);
}

LinearTasks::Task LinearTasks::joined(std::int64_t& index, std::int64_t last) const {
  std::int64_t before = 0;
  for (std::size_t part = 0; part < parts_.size(); ++part) {
    const std::int64_t tasks = tasks_of(part);
    if (index < before + tasks) {
      const std::int64_t end = std::min(last, before + tasks);
      const std::int64_t first = (index - before) * blocks_[part];
      index = end;
      return {&parts_[part], first, std::min((end - before) * blocks_[part], parts_[part].weight.outputs) - first};
    }
    before += tasks;
  }
  PRECIS_CHECK(false, "task {} of {}", index, count_);
  return {};
}

Shares::Shares(std::int64_t count, int workers)
    : count_(count), workers_(workers), reserved_(std::min({most_reserved, workers_, count / longest()})) {
  next_ = reserved_ * longest();
  unclaimed_ = reserved_ == most_reserved ? ~std::uint64_t{0} : (std::uint64_t{1} << reserved_) - 1;
}

bool Shares::claim(std::int64_t worker) {
  const std::uint64_t bit = std::uint64_t{1} << worker;
  return (unclaimed_.fetch_and(~bit, std::memory_order_relaxed) & bit) != 0;
}

Shares::Share Shares::next(int worker) {
  if (worker < reserved_ && claim(worker)) return reserved(worker);
  std::int64_t first = next_.load(std::memory_order_relaxed);
  while (first < count_) {
    const std::int64_t last = first + share_of(count_ - first, workers_);
    if (next_.compare_exchange_weak(first, last, std::memory_order_relaxed)) return {first, last};
  }
  while (const std::uint64_t unclaimed = unclaimed_.load(std::memory_order_relaxed)) {
    const int late = std::countr_zero(unclaimed);
    if (claim(late)) return reserved(late);
  }
  return {};
}

LinearTasks::Task WorkerTasks::next() {
  const LinearTasks::Task task = following_;
  following_ = take();
  return task;
}

LinearTasks::Task WorkerTasks::take() {
  if (share_.first == share_.last) share_ = shares_.next(worker_);
  return share_.first < share_.last ? tasks_.joined(share_.first, share_.last) : LinearTasks::Task{};
}

NextWeights weights_of(const LinearTasks::Task& task) {
  if (task.part == nullptr) return {};
  const WeightView& weight = task.part->weight;
  NextWeights weights{
      .values = weight.row(task.first), .format = static_cast<Format>(weight.format), .outputs = task.outputs};
  if (is_quantized(weight.format)) {
    weights.scales = reinterpret_cast<const std::uint16_t*>(weight.row_scales(task.first));
  }
  return weights;
}

FirstWeights beginnings_of(const LinearTasks::Task& task, const Kernels& kernels) {
  if (task.part == nullptr) return {};
  const WeightView& weight = task.part->weight;
  const std::int64_t streams = kernels.few_streams(static_cast<Format>(weight.format));
  const std::int64_t stretch = divided_up(task.outputs, streams);
  FirstWeights first{.values = weight.row(task.first),
                     .streams = divided_up(task.outputs, stretch),
                     .stream_values = stretch * value_row_bytes(weight.format, weight.inputs)};
  if (is_quantized(weight.format)) {
    first.scales = reinterpret_cast<const std::byte*>(weight.row_scales(task.first));
    first.stream_scales = stretch * scale_row_bytes(weight.format, weight.inputs);
  }
  return first;
}

LinearTile tile_of(const LinearTasks::Task& task, float* y) {
  const LinearPart& part = *task.part;
  const NextWeights weights = weights_of(task);
  LinearTile tile{};
  tile.values = weights.values;
  tile.scales = weights.scales;
  tile.format = weights.format;
  tile.outputs = weights.outputs;
  tile.inputs = part.weight.inputs;
  tile.bias = part.bias == nullptr ? nullptr : part.bias + task.first;
  tile.y = y;
  tile.y_stride = part.y_stride;
  return tile;
}

}  // namespace precis::cpu
