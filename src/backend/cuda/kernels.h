// The kernels by the functions that launch them. All pointers are device memory; every launch goes to `stream` and is
// checked.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "device/ops.h"

namespace precis::cuda {

// Whether this program's kernels run on the GPU.
cudaError_t probe_kernels();

// What products with more than a few rows multiply.
enum class Operand : std::uint8_t { f32, f16, bf16 };

// rows.cu, place.cu
void launch_embed(const EmbedArgs& args, cudaStream_t stream);
void launch_rms_norm(const RmsNormArgs& args, cudaStream_t stream);
void launch_rotation(const RotationArgs& args, cudaStream_t stream);
// y[i] = silu(gate[i]) * up[i]. `y` may be one of the two.
void launch_gate(const float* gate, const float* up, float* y, std::int64_t count, cudaStream_t stream);
// The same rounded; `count` is a multiple of 4.
void launch_gate_round(const float* gate, const float* up, std::int64_t count, Operand operand, void* y,
                       cudaStream_t stream);
void launch_gather(const GatherArgs& args, cudaStream_t stream);
void launch_place(const PlaceArgs& args, cudaStream_t stream);

// most_likely.cu. `keys`: [rows, most_likely_blocks], scratch; `counters`: [rows], 0 before and after.
constexpr int most_likely_blocks = 96;
void launch_most_likely(const MostLikelyArgs& args, unsigned long long* keys, std::int32_t* counters,
                        cudaStream_t stream);

// draw.cu: rows in a launch, and what they need of memory.
constexpr std::int64_t draw_rows = 256;
constexpr std::int64_t draw_words = 2561;  // 8 bytes each, a row
constexpr std::int64_t draw_slice = 1024;  // ids whose weights are added up by one block
// For as many rows as a call has, at most draw_rows.
struct DrawScratch {
  unsigned long long* keys;  // [rows, draw_words]
  double* sums;              // [rows, slices of a row]
  std::int32_t* counters;    // [2, rows], 0 before and after
};
void launch_draw(const DrawArgs& args, const DrawScratch& scratch, cudaStream_t stream);

// few_rows.cu: products with few rows, which read the weights once for each `few_rows_block` rows. A row's bits do not
// depend on how many rows there are.
constexpr int few_rows_block = 8;
constexpr int few_rows_parts = 4;

struct FewRowsPart {
  const void* values;
  const void* scales;
  const float* bias;  // or none
  float* y;
  std::int64_t y_stride;
  std::int32_t outputs;
};

struct FewRows {
  const float* x;
  std::int64_t x_stride;
  std::int32_t rows;
  std::int32_t inputs;
  WeightFormat format;  // of all parts
  bool accumulate;
  const float* norm;  // [inputs]: rows are normed on their way; or none
  float epsilon;
  std::int32_t count;  // of parts
  FewRowsPart parts[few_rows_parts];
};
void launch_few_rows(const FewRows& args, cudaStream_t stream);
// Two parts of equally many rows of their own, without norm: the first part's products are not written to y, but to the
// rows' slots as k' (KeepShortArgs). f32, in whole chunks.
struct ShortRows {
  const float* queries;       // the second part's rows; they lie as the first one's
  const std::int64_t* slots;  // [rows]
  KvView kv;
};
void launch_short_rows(const FewRows& args, const ShortRows& shorts, cudaStream_t stream);
// The first part's y = silu(first part's product) * second part's product, of equally many outputs. Inputs must be
// whole chunks.
void launch_few_gated_rows(const FewRows& args, cudaStream_t stream);

// convert.cu: operands and results of products with many rows.
// to[r] = x[r], rows contiguous there, as f16 or bf16.
void launch_round(const float* x, std::int64_t x_stride, std::int64_t rows, std::int64_t inputs, Operand operand,
                  void* to, cudaStream_t stream);
// The same of x[r] normed.
void launch_norm_round(const float* x, std::int64_t x_stride, std::int64_t rows, std::int64_t inputs,
                       const InputNorm& norm, Operand operand, void* to, cudaStream_t stream);
// A whole matrix as `operand` (f32 or bf16). Its inputs must be whole chunks, see has_chunks.
void launch_dequantize(const WeightView& weight, Operand operand, void* to, cudaStream_t stream);
// y[r] += bias
void launch_add_bias(const float* bias, float* y, std::int64_t y_stride, std::int64_t rows, std::int64_t outputs,
                     cudaStream_t stream);

// Whether rows of this many weights are whole chunks of 16 bytes.
bool has_chunks(WeightFormat format, std::int64_t inputs);

}  // namespace precis::cuda
