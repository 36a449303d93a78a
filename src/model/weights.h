// A model's weights on a device. Matrices stay as their source has them (on a CPU: in the mapped file) or are quantized
// on the way; vectors (norms, biases) become float.
#pragma once

#include <array>
#include <map>
#include <vector>

#include "device/device.h"
#include "device/ops.h"
#include "esa/esa_file.h"
#include "model/model_spec.h"
#include "model/quantizer.h"
#include "tensor/tensor_source.h"

namespace precis {

struct LayerWeights {
  const float* input_norm = nullptr;          // [hidden]
  const float* input_norm_summary = nullptr;  // [hidden], where summary rows have their own
  std::array<LinearWeights, 3> qkv;           // q, k, v: [heads or kv_heads * head_dim, hidden]
  std::array<LinearWeights, 3> qkv_summary;   // the same for summary rows, where they have their own
  const float* q_norm = nullptr;              // [head_dim]
  const float* k_norm = nullptr;              // [head_dim]
  LinearWeights output;                       // [hidden, heads * head_dim]
  const float* post_norm = nullptr;           // [hidden]
  LinearWeights gate;                         // [ffn, hidden]
  LinearWeights up;                           // [ffn, hidden]
  LinearWeights down;                         // [hidden, ffn]
  WeightView esa_q;                           // [dim, kv_heads * head_dim] where layers select: docs/esa.md
  WeightView esa_k;                           // the same
};

struct Weights {
  WeightView embedding;  // [embeddings, hidden]
  std::vector<LayerWeights> layers;
  const float* final_norm = nullptr;                     // [hidden]
  WeightView head;                                       // [vocabulary, hidden]: the embedding's rows when tied
  std::int64_t bytes = 0;                                // of all of the above
  std::map<WeightFormat, std::int64_t> bytes_of_format;  // the same by format; scales count with their matrix
  std::vector<Buffer> buffers;                           // what the pointers point into
};

// `quantizer`: what plain matrices become on the way, one at a time; none: they stay as they are. What a source holds
// of a matrix is released once it is quantized. Throws Error that names the tensor when one is missing, has another
// shape or type than the spec asks for, or scales that are no numbers.
Weights load_weights(const TensorSource& source, const ModelSpec& spec, Device& device, Quantizer* quantizer = nullptr);

// Adds what layers select by. The calibration must be one for this model.
void add_esa(Weights& weights, const EsaCalibration& calibration, Device& device);

// Bytes of weights that a step reads, by when it does. Of the embedding a step reads a row a token, which is not
// counted; a tied head is.
struct WeightReads {
  std::int64_t always = 0;     // every step
  std::int64_t summaries = 0;  // steps with summary rows: what these rows alone use
  std::int64_t logits = 0;     // steps of which logits are wanted: past the last layer's attention
};
WeightReads weight_reads(const Weights& weights, const ModelSpec& spec);

}  // namespace precis
