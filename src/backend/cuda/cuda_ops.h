// The operations on a GPU: which kernels an operation is made of. The arithmetic is in the .cu files.
#pragma once

#include <array>

#include "backend/cuda/attention_plan.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/graph_cache.h"
#include "backend/cuda/matrix_products.h"
#include "backend/cuda/several_rows.h"
#include "device/ops.h"

namespace precis::cuda {

// Rows as a product takes them, contiguous.
struct RoundedRows {
  const std::byte* x = nullptr;
  Operand operand = Operand::f32;
};

// What an operation has prepared for the product that takes its results next.
struct PreparedRows {
  const float* x = nullptr;  // [rows, inputs]: the results
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  const void* rounded = nullptr;   // [rows, inputs], bf16
  const float* norm = nullptr;     // [inputs]: rounded are the rows times these; or as they are
  const float* squares = nullptr;  // of rows times a norm's weights: NextRows::squares
  std::int32_t squares_parts = 0;
};

class CudaOps final : public Ops {
 public:
  // `exact_activations` and `deterministic` as in BackendOptions.
  CudaOps(const std::shared_ptr<Stream>& stream, bool exact_activations, bool deterministic);

  MatrixProducts& products() { return products_; }

  void embed(const EmbedArgs& args) override;
  void rms_norm(const RmsNormArgs& args) override;
  void linear(const LinearArgs& args) override;
  void gate_up(const GateUpArgs& args) override;
  void mlp(const MlpArgs& args) override;
  void rotation(const RotationArgs& args) override;
  void place(const PlaceArgs& args) override;
  void attention(const AttentionArgs& args) override;
  void gather(const GatherArgs& args) override;
  void most_likely(const MostLikelyArgs& args) override;
  void draw(const DrawArgs& args) override;
  void copy_pages(const CopyPagesArgs& args) override;
  bool selects() const override { return true; }
  bool attends_in_place() const override { return true; }
  void shorten(const ShortenArgs& args) override;
  void keep_short(const KeepShortArgs& args) override;  // this and the next three: cuda_select.cpp
  void select(const SelectArgs& args) override;
  void pick(const PickArgs& args) override;
  void turn(const TurnArgs& args) override;
  void repeat(std::span<const std::int64_t> key, const std::function<void()>& work) override;
  void to_device(void* device, const void* host, std::int64_t bytes) override;
  const void* on_host(const void* device, std::int64_t bytes) override;
  bool runs_asynchronously() const override { return true; }
  void set_out(std::size_t place, const void* device, std::int64_t bytes) override;
  const void* arrived(std::size_t place) override;
  const void* on_host_since(std::size_t place, const void* device, std::int64_t bytes) override;

 private:
  // For blocks to count themselves.
  std::int32_t* counters(std::int64_t count);
  // deterministic_linear.cpp: linear() in deterministic mode.
  void linear_alike(const LinearArgs& args);
  // In deterministic mode the same products of rows that are normed by now; else `args`. For few_rows.cu.
  LinearArgs normed_before(const LinearArgs& args);
  // cuda_linear.cpp
  // Whether so many rows are for few_rows.cu where they are not for several_rows.cu.
  bool takes_few(std::int64_t rows) const;
  // Rows that products take at a time.
  std::int64_t rows_at_once() const;
  // Whether the second half of an MLP takes the first one, of so many rows, as floats.
  bool takes_floats(const WeightView& down, std::int64_t rows) const;
  void linear_few(const LinearArgs& args);
  // Whether these are for several_rows.cu.
  bool takes_several(const LinearArgs& args) const;
  // `rounded`: the call's rows, where somebody has rounded them.
  void linear_several(const LinearArgs& args, const RoundedRows& rounded);
  // `parts`: some of the call's, of one format; `several`: how it differs from a plain product. False, and nothing is
  // done, for few rows that do not lie as they must.
  bool launch_several(const LinearArgs& args, std::span<const LinearPart> parts, SeveralRows several,
                      const RoundedRows& rounded = {});
  // Where the call's rows were prepared: `several` takes them so.
  bool take_prepared(const LinearArgs& args, SeveralRows& several) const;
  // Whether a product with several rows, rounded to bf16, may be prepared for.
  bool prepares(std::int64_t rows, WeightFormat format) const;
  // What was prepared of rows that are written to counts no more.
  void forget(const float* written);
  // The first half of an MLP, rounded for the second one: rows [first, first + rows).
  RoundedRows rounded_gates(const MlpArgs& args, std::int64_t first, std::int64_t rows);
  void linear_many(const LinearArgs& args, std::int64_t first_row, std::int64_t rows, const RoundedRows& rounded = {});
  bool multiply(const LinearArgs& args, const LinearPart& part, Product product);
  // x as products with many rows take it.
  void take_rows(const LinearArgs& args, std::int64_t inputs, const RoundedRows& rounded, Product& product);
  // The rows normed where they are to be, as `operand`, contiguous; until the next call.
  RoundedRows rounded_rows(const LinearArgs& args, std::int64_t inputs, Operand operand);

  cudaStream_t stream() const { return stream_->get(); }

  const std::shared_ptr<Stream> stream_;
  const bool exact_activations_;
  const bool deterministic_;
  const int most_shares_;  // of a matrix's inputs
  StagingRing staging_;
  Readback readback_;
  std::array<Readback, 2> places_;                                   // of set_out()
  const std::shared_ptr<Stream> side_ = std::make_shared<Stream>();  // for what waits for no operation under way
  MatrixProducts products_;
  Scratch activations_;  // rounded, of products with many rows
  Scratch weights_;      // dequantized, of these
  Scratch ups_;          // up's products, where they do not stay in a kernel
  Scratch gates_;        // an MLP's first half, rounded
  Scratch attended_;     // attention's results, prepared
  Scratch nexts_;        // rows that were prepared
  Scratch squares_;      // beside these
  PreparedRows prepared_;
  AttentionPlan attention_;
  bool has_selected_ = false;  // select() came last of those whose results attention() reads
  Scratch partials_;           // of split rows' attention, of selection, and of the search for the likely ids
  Scratch counters_;           // beside these, all 0 between operations
  Scratch widened_;            // K and V of long runs, see attention_plan.h
  GraphCache graphs_;
};

}  // namespace precis::cuda
