// The temporary memory of a step, allocated once.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "device/device.h"
#include "device/draw_args.h"
#include "kv/kv_geometry.h"
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

// What steps may have at most.
struct StepLimits {
  std::int64_t rows = 0;
  std::int64_t sequences = 1;
  std::int64_t positions = 0;  // of their tokens; asked for where keys are turned
};

// The pages that steps' runs pick into, at most, in one layer.
std::int64_t picked_pages(const ModelSpec& spec, const StepLimits& limits, std::int64_t page_entries);

// Bytes of memory to a buffer of so many.
using Allocate = std::function<Buffer(std::int64_t bytes)>;

class Workspace {
 public:
  // `runs_asynchronously`: as the operations' own.
  Workspace(const ModelSpec& spec, const KvGeometry& geometry, bool runs_asynchronously, const StepLimits& limits,
            const Allocate& allocate);

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

  // Of models that select; none otherwise. short_q and short_k: dim wide; query_sums and plain_keys: kv_heads *
  // head_dim; picked_q: heads * head_dim, where picked entries get queries of their own.
  float* query_sums = nullptr;
  float* plain_keys = nullptr;
  float* short_q = nullptr;
  float* short_k = nullptr;
  float* picked_q = nullptr;
  float* rotations = nullptr;           // [StepLimits::positions, head_dim], where keys are turned
  std::int32_t* picked_list = nullptr;  // [pages * page_entries]: SelectArgs::list
  std::byte* picked = nullptr;          // pages of one layer's K and V, which all layers use in turn

  // Of steps in turn: two where a step may be called while the host still asks for what the one before it left.
  std::vector<StepResults> results;

  std::int64_t bytes() const { return bytes_; }

 private:
  template <typename T>
  T* make(const Allocate& allocate, std::int64_t rows, std::int64_t width);

  std::vector<Buffer> buffers_;
  std::int64_t bytes_ = 0;
};

// What a workspace of these would take, without taking it.
std::int64_t workspace_bytes(const ModelSpec& spec, const KvGeometry& geometry, bool runs_asynchronously,
                             const StepLimits& limits);
// What a host would hold of it, where memory that is never written to is not held: steps want the logits of their
// sequences' last tokens alone.
std::int64_t held_workspace_bytes(const ModelSpec& spec, const KvGeometry& geometry, const StepLimits& limits);

}  // namespace precis
