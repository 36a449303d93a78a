// How the outputs of a product, or of several with the same rows, are cut into tasks, and how workers take them.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "backend/cpu/kernels.h"
#include "backend/cpu/share.h"
#include "backend/cpu/weights_ahead.h"
#include "base/error.h"
#include "device/ops.h"

namespace precis::cpu {

// What goes into products: some rows, normed on their way where there are weights for it.
struct InputRows {
  const float* x;
  std::int64_t stride;
  std::int64_t count;
  std::int64_t inputs;
  InputNorm norm;
};

// Of Form.
constexpr std::size_t forms = 5;

// What a product with `weight` takes its activations as. `exact`: not rounded to bf16.
Form form_of(const WeightView& weight, const Kernels& kernels, bool exact);

std::int64_t outputs_of(std::span<const LinearPart> parts);

// Outputs of a task: `most`, but few enough for every worker to get some; a multiple of `step`.
std::int64_t outputs_per_task(std::int64_t most, std::int64_t outputs, std::int64_t row_tasks, int workers,
                              std::int64_t step);

// For each part its blocks of outputs, one after the other.
class LinearTasks {
 public:
  // `block_of(part)`: its outputs a task.
  template <typename BlockOf>
  LinearTasks(std::span<const LinearPart> parts, const BlockOf& block_of) : parts_(parts) {
    PRECIS_CHECK(parts.size() <= most_parts, "{} parts", parts.size());
    for (std::size_t i = 0; i < parts.size(); ++i) {
      blocks_[i] = block_of(parts[i]);
      count_ += tasks_of(i);
    }
  }

  struct Task {
    const LinearPart* part = nullptr;
    std::int64_t first = 0;  // output
    std::int64_t outputs = 0;
  };

  std::int64_t count() const { return count_; }
  Task at(std::int64_t index) const;
  // As one, the tasks from `index` up to `last` that are of the same part; `index` becomes the first that is left.
  Task joined(std::int64_t& index, std::int64_t last) const;

 private:
  static constexpr std::size_t most_parts = 8;

  std::int64_t tasks_of(std::size_t part) const {
    return (parts_[part].weight.outputs + blocks_[part] - 1) / blocks_[part];
  }

  std::span<const LinearPart> parts_;
  std::int64_t blocks_[most_parts] = {};
  std::int64_t count_ = 0;
};

// Hands out tasks [0, count) in shares that shrink (share.h). The first share of a worker is always the same, so that
// it can be fetched ahead (WeightsAhead); that of a worker who has not come by then is left for the end.
class Shares {
 public:
  Shares(std::int64_t count, int workers);

  struct Share {
    std::int64_t first = 0;
    std::int64_t last = 0;  // first: nothing is left
  };

  // Any worker, of itself.
  Share next(int worker);
  // Tasks of a share at most.
  std::int64_t longest() const { return share_of(count_, workers_); }

 private:
  static constexpr std::int64_t most_reserved = 64;  // bits of unclaimed_

  Share reserved(std::int64_t worker) const { return {worker * longest(), (worker + 1) * longest()}; }
  bool claim(std::int64_t worker);

  const std::int64_t count_;
  const std::int64_t workers_;
  const std::int64_t reserved_;               // first shares of workers [0, reserved_)
  std::atomic<std::uint64_t> unclaimed_ = 0;  // a bit for each of them
  std::atomic<std::int64_t> next_ = 0;        // task beyond those and what was handed out
};

// One worker's way through the tasks. It takes a share when it begins the last task of the one before, so that it knows
// what it will read next.
class WorkerTasks {
 public:
  WorkerTasks(const LinearTasks& tasks, Shares& shares, int worker)
      : tasks_(tasks), shares_(shares), worker_(worker), following_(take()) {}

  // Part null: no task is left.
  LinearTasks::Task next();
  // What next() will return.
  const LinearTasks::Task& following() const { return following_; }

 private:
  LinearTasks::Task take();

  const LinearTasks& tasks_;
  Shares& shares_;
  const int worker_;
  Shares::Share share_;
  LinearTasks::Task following_;
};

NextWeights weights_of(const LinearTasks::Task& task);

// The beginnings of a task's weights.
FirstWeights beginnings_of(const LinearTasks::Task& task, const Kernels& kernels);

// What a tile takes of its task; the rows are left open. `y`: where the task's first output of the tile's first row is.
LinearTile tile_of(const LinearTasks::Task& task, float* y);

}  // namespace precis::cpu
