#include "model/weight_names.h"

#include <fmt/format.h>

#include <algorithm>

namespace precis {
namespace {

class Collector {
 public:
  explicit Collector(const ModelSpec& spec) : spec_(spec) {}

  void layer(std::int64_t index) {
    const std::string at = fmt::format("model.layers.{}.", index);
    add(at + "input_layernorm.weight", {spec_.hidden});
    add(at + "post_attention_layernorm.weight", {spec_.hidden});
    const std::string self = at + "self_attn.";
    const std::int64_t q = spec_.heads * spec_.head_dim;
    const std::int64_t kv = spec_.kv_heads * spec_.head_dim;
    linear(self + "q_proj", q, spec_.hidden, spec_.qkv_bias);
    linear(self + "k_proj", kv, spec_.hidden, spec_.qkv_bias);
    linear(self + "v_proj", kv, spec_.hidden, spec_.qkv_bias);
    linear(self + "o_proj", spec_.hidden, q, spec_.output_bias);
    if (spec_.qk_norm) {
      add(self + "q_norm.weight", {spec_.head_dim});
      add(self + "k_norm.weight", {spec_.head_dim});
    }
    linear(at + "mlp.gate_proj", spec_.ffn, spec_.hidden, spec_.mlp_bias);
    linear(at + "mlp.up_proj", spec_.ffn, spec_.hidden, spec_.mlp_bias);
    linear(at + "mlp.down_proj", spec_.hidden, spec_.ffn, spec_.mlp_bias);
    if (!spec_.summary) return;
    if (spec_.summary->own_norm) add(at + "input_layernorm_summary.weight", {spec_.hidden});
    if (!spec_.summary->own_projections) return;
    linear(self + "q_proj_summary", q, spec_.hidden, false);
    linear(self + "k_proj_summary", kv, spec_.hidden, false);
    linear(self + "v_proj_summary", kv, spec_.hidden, false);
  }

  void add(std::string name, std::vector<std::int64_t> shape) {
    tensors_.push_back({std::move(name), std::move(shape)});
  }

  std::vector<ExpectedTensor> take() { return std::move(tensors_); }

 private:
  void linear(const std::string& name, std::int64_t outputs, std::int64_t inputs, bool bias) {
    add(name + ".weight", {outputs, inputs});
    if (bias) add(name + ".bias", {outputs});
  }

  const ModelSpec& spec_;
  std::vector<ExpectedTensor> tensors_;
};

}  // namespace

std::string head_name(const ModelSpec& spec) {
  return spec.tied_head ? "model.embed_tokens.weight" : "lm_head.weight";
}

std::vector<ExpectedTensor> expected_tensors(const ModelSpec& spec) {
  Collector collector(spec);
  collector.add("model.embed_tokens.weight", {spec.embeddings, spec.hidden});
  for (std::int64_t index = 0; index < spec.layers; ++index) collector.layer(index);
  collector.add("model.norm.weight", {spec.hidden});
  if (!spec.tied_head) collector.add("lm_head.weight", {spec.embeddings, spec.hidden});
  return collector.take();
}

std::vector<ExpectedTensor> expected_tensors_head_last(const ModelSpec& spec) {
  std::vector<ExpectedTensor> tensors = expected_tensors(spec);
  std::stable_partition(tensors.begin(), tensors.end(),
                        [head = head_name(spec)](const ExpectedTensor& tensor) { return tensor.name != head; });
  return tensors;
}

}  // namespace precis
