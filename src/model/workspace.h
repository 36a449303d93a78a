// The temporary memory of a step, allocated once.
#pragma once

#include <cstdint>
#include <vector>

#include "device/device.h"
#include "device/draw_args.h"
#include "model/model_spec.h"

namespace precis {

// What a step leaves for the host.
struct StepResults {
  float* logits;       // [max_logit_rows, vocabulary]
  std::int32_t* best;  // [max_logit_rows]: ids of the largest logits
  RowDraw* draws;      // [max_logit_rows], a little behind `best`: both can be read at once

  // From `best` to `draws`.
  std::int64_t best_bytes() const { return reinterpret_cast<std::byte*>(draws) - reinterpret_cast<std::byte*>(best); }
};

class Workspace {
 public:
  Workspace(const ModelSpec& spec, Device& device, std::int64_t max_rows);

  std::int64_t max_rows;
  std::int64_t max_logit_rows;  // logits computed at a time

  // Matrices of floats, [max_rows, ...].
  float* x;            // hidden: the residual stream
  float* normed;       // hidden: where text and summary rows have different norms
  float* qkv;          // (heads + 2 kv_heads) head_dim
  float* own_qkv;      // the same, for summary rows' own q, k, v where they are blended; none otherwise
  float* attended;     // heads * head_dim
  float* gated;        // ffn
  float* rotation;     // head_dim
  float* frequencies;  // [head_dim / 2]

  // Of steps in turn: two where a step may be called while the host still asks for what the one before it left.
  std::vector<StepResults> results;

  std::int64_t bytes() const { return bytes_; }

 private:
  template <typename T>
  T* make(Device& device, std::int64_t rows, std::int64_t width);

  std::vector<Buffer> buffers_;
  std::int64_t bytes_ = 0;
};

}  // namespace precis
