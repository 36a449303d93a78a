// The operations on a GPU: which kernels an operation is made of. The arithmetic is in the .cu files.
#pragma once

#include "backend/cuda/attention_plan.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/graph_cache.h"
#include "backend/cuda/matrix_products.h"
#include "device/ops.h"

namespace precis::cuda {

class CudaOps final : public Ops {
 public:
  // `exact_activations` as in BackendOptions.
  CudaOps(const std::shared_ptr<Stream>& stream, bool exact_activations);

  MatrixProducts& products() { return products_; }

  void embed(const EmbedArgs& args) override;
  void rms_norm(const RmsNormArgs& args) override;
  void linear(const LinearArgs& args) override;
  void gate_up(const GateUpArgs& args) override;
  void rotation(const RotationArgs& args) override;
  void place(const PlaceArgs& args) override;
  void attention(const AttentionArgs& args) override;
  void gather(const GatherArgs& args) override;
  void copy_pages(const CopyPagesArgs& args) override;
  void repeat(std::span<const std::int64_t> key, const std::function<void()>& work) override;
  void to_device(void* device, const void* host, std::int64_t bytes) override;
  const void* on_host(const void* device, std::int64_t bytes) override;

 private:
  // cuda_linear.cpp
  void linear_few(const LinearArgs& args);
  void linear_many(const LinearArgs& args, std::int64_t first_row, std::int64_t rows);
  bool multiply(const LinearArgs& args, const LinearPart& part, Product product);
  // x as products with many rows take it: normed where it is to be, and rounded.
  void take_rows(const LinearArgs& args, std::int64_t inputs, Product& product);

  cudaStream_t stream() const { return stream_->get(); }

  const std::shared_ptr<Stream> stream_;
  const bool exact_activations_;
  StagingRing staging_;
  std::shared_ptr<std::byte> readback_;  // pinned
  std::int64_t readback_bytes_ = 0;
  MatrixProducts products_;
  Scratch activations_;  // rounded, of products with many rows
  Scratch weights_;      // dequantized, of these
  Scratch ups_;          // up's products, where they do not stay in a kernel
  AttentionPlan attention_;
  Scratch partials_;  // of attention over split rows
  GraphCache graphs_;
};

}  // namespace precis::cuda
