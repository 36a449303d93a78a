// One pass of text through a model, layer by layer, that shows what ESA scores: queries and keys before rotation.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "calibration/residual_rows.h"
#include "device/device.h"
#include "device/ops.h"
#include "model/model_spec.h"
#include "model/weights.h"
#include "tensor/tensor_source.h"

namespace precis {

// Normed (where the model norms them) and, in summary rows, blended; not rotated. A row has kv_heads * head_dim
// numbers.
struct ScoreRows {
  std::vector<float> queries;  // of the text rows, summed over the heads of each KV group
  std::vector<float>
      keys;  // of what later rows choose from, summaries where they keep them, else text: all KV heads side by side
};

// The text rows' queries, and the keys of rows [first_key, first_key + keys).
ScoreRows score_rows(Ops& ops, const PlaceArgs& args, std::int64_t first_key, std::int64_t keys);

class ScorePass {
 public:
  // As ResidualRows. All others outlive it. Throws Error as load_weights does.
  ScorePass(const TensorSource& source, const ModelSpec& spec, Device& device, TextWindows windows);

  // Computes the next layer on every window: take(window, rows) in order of the windows. False from `take`: stop, and
  // no other call may follow. Call at most spec.layers times.
  bool next_layer(const std::function<bool(std::size_t window, const ScoreRows& rows)>& take);

 private:
  const ModelSpec& spec_;
  Device& device_;
  Weights weights_;
  ResidualRows rows_;       // before the next layer
  std::int64_t layer_ = 0;  // the next
};

}  // namespace precis
