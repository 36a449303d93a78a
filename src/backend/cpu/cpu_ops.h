// The operations on the CPU: how the work of each is cut over the workers. The arithmetic is in the kernels.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "backend/cpu/attention_plan.h"
#include "backend/cpu/far_reader.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/linear_tasks.h"
#include "base/thread_pool.h"
#include "device/device.h"
#include "device/ops.h"

namespace precis::cpu {

// Of K and V.
Element element_of(DType type);

class CpuOps final : public Ops {
 public:
  // `threads` as in ThreadPool, `exact_activations` as in BackendOptions.
  CpuOps(const Kernels& kernels, int threads, bool exact_activations = false);

  const Kernels& kernels() const { return kernels_; }
  int threads() const { return pool_.workers(); }
  ThreadPool& pool() { return pool_; }

  void embed(const EmbedArgs& args) override;
  void rms_norm(const RmsNormArgs& args) override;
  void linear(const LinearArgs& args) override;
  void gate_up(const GateUpArgs& args) override;
  void rotation(const RotationArgs& args) override;
  void place(const PlaceArgs& args) override;
  void attention(const AttentionArgs& args) override;
  void gather(const GatherArgs& args) override;
  void most_likely(const MostLikelyArgs& args) override;
  void draw(const DrawArgs& args) override;
  void copy_pages(const CopyPagesArgs& args) override;
  bool selects() const override { return true; }
  bool attends_in_place() const override { return true; }
  void keep_short(const KeepShortArgs& args) override;
  void select(const SelectArgs& args) override;
  void pick(const PickArgs& args) override;
  void turn(const TurnArgs& args) override;
  void to_device(void* device, const void* host, std::int64_t bytes) override;
  const void* on_host(const void* device, std::int64_t bytes) override;

 private:
  // Calls each(row) for every row, on several workers where `row_cost` (element operations a row) makes that pay.
  template <typename Each>
  void for_rows(std::int64_t rows, std::int64_t row_cost, const Each& each);

  // Rows that linear_few() and gate_up_few() take with these weights.
  std::int64_t most_few_rows(const WeightView& weight) const;
  // Products of few rows: few_rows.cpp.
  void linear_few(const LinearArgs& args);
  void gate_up_few(const GateUpArgs& args);
  int workers_for(std::int64_t products) const;
  // A product of few rows begins: what follows it is fetched by workers who wait from its end on.
  WeightsAhead::Product& begin_product(const WeightView& weight);
  // Calls work(worker) on so many workers: one, or all.
  template <typename Work>
  void on_workers(int workers, const Work& work);

  // Products of rows [first_row, first_row + rows): many_rows.cpp.
  void linear_many(const LinearArgs& args, std::int64_t first_row, std::int64_t rows);
  void gate_up_many(const GateUpArgs& args, std::int64_t first_row, std::int64_t rows);
  // Rows in the forms that a call's products take, slice by slice; valid until the next call.
  struct ConvertedRows {
    std::int64_t rows = 0;
    std::array<std::byte*, forms> x{};
    std::array<std::int64_t, forms> row_bytes{};  // of a slice
  };
  ConvertedRows convert_rows(const InputRows& rows, std::span<const LinearPart> parts);
  void multiply_block(const ConvertedRows& converted, std::int64_t first_row, std::int64_t rows,
                      const WeightView& weight, LinearTile tile, std::byte* scratch);
  // Memory for the activations of a product, aligned to 64.
  std::byte* converted_rows(std::int64_t bytes);

  // Parts of select(): select.cpp.
  void cut_selection(const SelectArgs& args);
  void find_maxima(const SelectArgs& args);
  void choose(const SelectArgs& args, std::size_t run);
  // What was chosen of far pages will be read.
  void fetch_far(const SelectArgs& args);

  // Grows every worker's scratch memory to `floats`: before the work, as workers must not throw.
  void reserve_scratch(std::int64_t floats);
  // Aligned to 64.
  float* scratch(int worker);

  const Kernels& kernels_;
  const bool exact_activations_;
  WeightsAhead ahead_;  // before pool_: its workers read this until they have ended
  ThreadPool pool_;
  AttentionPlan attention_;
  FarReader far_;
  std::vector<std::vector<float>> scratch_;  // of each worker
  std::vector<float> converted_;
  // Of select(): a run's entries by chunks, and where its scores and its rows' maxima lie.
  struct ScoreChunk {
    std::size_t run;
    std::int64_t first;  // from the middle's begin
    std::int64_t entries;
  };
  struct ScorePlace {
    std::int64_t scores;
    std::int64_t maxima;
  };
  std::vector<ScoreChunk> score_chunks_;
  std::vector<ScorePlace> score_places_;  // [runs]
  std::vector<float> scores_;
  std::vector<float> spread_;
  std::vector<float> maxima_;  // [workers, rows of runs with several]
  std::int64_t maxima_stride_ = 0;
};

template <typename Each>
void CpuOps::for_rows(std::int64_t rows, std::int64_t row_cost, const Each& each) {
  // Element operations below which waking the workers costs more than they save (1 to 2 us).
  constexpr std::int64_t worth_sharing = 16384;
  const std::int64_t rows_per_task = std::max<std::int64_t>(worth_sharing / std::max<std::int64_t>(row_cost, 1), 1);
  pool_.for_each((rows + rows_per_task - 1) / rows_per_task, [&](std::int64_t task, int) {
    const std::int64_t end = std::min(rows, (task + 1) * rows_per_task);
    for (std::int64_t row = task * rows_per_task; row < end; ++row) each(row);
  });
}

}  // namespace precis::cpu
