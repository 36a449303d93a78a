#include "model/weights.h"

#include <memory>

#include "base/error.h"

namespace precis {
namespace {

class Loader {
 public:
  Loader(const TensorSource& source, const ModelSpec& spec, Device& device, Quantizer* quantizer)
      : source_(source), spec_(spec), device_(device), quantizer_(quantizer) {}

  Weights load() {
    weights_.embedding = matrix("model.embed_tokens.weight", spec_.embeddings, spec_.hidden);
    for (std::int64_t index = 0; index < spec_.layers; ++index) {
      weights_.layers.push_back(layer(fmt::format("model.layers.{}.", index)));
    }
    weights_.final_norm = vector("model.norm.weight", spec_.hidden);
    weights_.head = spec_.tied_head ? weights_.embedding : matrix("lm_head.weight", spec_.embeddings, spec_.hidden);
    weights_.head.outputs = spec_.vocabulary;
    // Once more: reading a neighbour has brought parts of them back.
    for (const std::string& name : copied_) source_.release(name);
    return std::move(weights_);
  }

 private:
  LayerWeights layer(const std::string& at) {
    const std::string self = at + "self_attn.";
    const std::int64_t q = spec_.heads * spec_.head_dim;
    const std::int64_t kv = spec_.kv_heads * spec_.head_dim;
    LayerWeights layer;
    layer.input_norm = vector(at + "input_layernorm.weight", spec_.hidden);
    layer.qkv = {linear(self + "q_proj", q, spec_.hidden, spec_.qkv_bias),
                 linear(self + "k_proj", kv, spec_.hidden, spec_.qkv_bias),
                 linear(self + "v_proj", kv, spec_.hidden, spec_.qkv_bias)};
    if (spec_.qk_norm) {
      layer.q_norm = vector(self + "q_norm.weight", spec_.head_dim);
      layer.k_norm = vector(self + "k_norm.weight", spec_.head_dim);
    }
    layer.output = linear(self + "o_proj", spec_.hidden, q, spec_.output_bias);
    layer.post_norm = vector(at + "post_attention_layernorm.weight", spec_.hidden);
    layer.gate = linear(at + "mlp.gate_proj", spec_.ffn, spec_.hidden, spec_.mlp_bias);
    layer.up = linear(at + "mlp.up_proj", spec_.ffn, spec_.hidden, spec_.mlp_bias);
    layer.down = linear(at + "mlp.down_proj", spec_.hidden, spec_.ffn, spec_.mlp_bias);
    if (spec_.summary && spec_.summary->own_norm) {
      layer.input_norm_summary = vector(at + "input_layernorm_summary.weight", spec_.hidden);
    }
    if (spec_.summary && spec_.summary->own_projections) {
      layer.qkv_summary = {linear(self + "q_proj_summary", q, spec_.hidden, false),
                           linear(self + "k_proj_summary", kv, spec_.hidden, false),
                           linear(self + "v_proj_summary", kv, spec_.hidden, false)};
    }
    return layer;
  }

  LinearWeights linear(const std::string& name, std::int64_t outputs, std::int64_t inputs, bool bias) {
    return {matrix(name + ".weight", outputs, inputs), bias ? vector(name + ".bias", outputs) : nullptr};
  }

  WeightView matrix(const std::string& name, std::int64_t outputs, std::int64_t inputs) {
    const StoredMatrix matrix = take_matrix(name, outputs, inputs);
    WeightView view{.data = static_cast<const std::byte*>(keep(matrix.values, matrix.format)),
                    .scales = nullptr,
                    .format = matrix.format,
                    .outputs = outputs,
                    .inputs = inputs};
    if (is_quantized(matrix.format)) view.scales = static_cast<const F16*>(keep(matrix.scales, matrix.format));
    return view;
  }

  StoredMatrix take_matrix(const std::string& name, std::int64_t outputs, std::int64_t inputs) {
    const StoredMatrix matrix = find_matrix(source_, name, outputs, inputs);
    check_scales(name, matrix);
    if (quantizer_ == nullptr || is_quantized(matrix.format)) return matrix;
    const auto format = quantizer_->format_for(name, inputs);
    if (!format) return matrix;
    StoredMatrix quantized = quantizer_->quantize(name, matrix, *format);
    source_.release(name);
    copied_.push_back(name);
    return quantized;
  }

  const float* vector(const std::string& name, std::int64_t size) {
    const auto tensor = source_.find(name);
    if (!tensor) fail("{}: no such tensor, expected shape [{}]", name, size);
    expect_shape(name, tensor->view, {{"size", size}});
    auto values = std::make_shared<const std::vector<float>>(to_floats(name, tensor->view));
    copied_.push_back(name);
    HostTensor floats{{reinterpret_cast<const std::byte*>(values->data()), DType::f32, {size}}, values};
    return static_cast<const float*>(keep(floats, WeightFormat::f32));
  }

  const void* keep(const HostTensor& tensor, WeightFormat format) {
    weights_.buffers.push_back(device_.adopt(tensor));
    weights_.bytes += tensor.view.bytes();
    weights_.bytes_of_format[format] += tensor.view.bytes();
    return weights_.buffers.back().as<void>();
  }

  const TensorSource& source_;
  const ModelSpec& spec_;
  Device& device_;
  Quantizer* quantizer_;
  std::vector<std::string> copied_;  // tensors that the weights do not refer to
  Weights weights_;
};

std::int64_t bytes_of(const LinearWeights& linear) {
  const std::int64_t bias = linear.bias == nullptr ? 0 : linear.weight.outputs * std::int64_t{sizeof(float)};
  return linear.weight.bytes() + bias;
}

std::int64_t bytes_of(const std::array<LinearWeights, 3>& qkv) {
  return bytes_of(qkv[0]) + bytes_of(qkv[1]) + bytes_of(qkv[2]);
}

}  // namespace

Weights load_weights(const TensorSource& source, const ModelSpec& spec, Device& device, Quantizer* quantizer) {
  return Loader(source, spec, device, quantizer).load();
}

void add_esa(Weights& weights, const EsaCalibration& calibration, Device& device) {
  PRECIS_CHECK(calibration.layers.size() == weights.layers.size());
  const auto keep = [&](const std::vector<float>& rows) {
    auto values = std::make_shared<const std::vector<float>>(rows);
    const HostTensor tensor{
        {reinterpret_cast<const std::byte*>(values->data()), DType::f32, {calibration.dim, calibration.length}},
        values};
    const std::int64_t bytes = tensor.view.bytes();
    weights.buffers.push_back(device.adopt(tensor));
    weights.bytes += bytes;
    weights.bytes_of_format[WeightFormat::f32] += bytes;
    return WeightView{.data = weights.buffers.back().as(),
                      .scales = nullptr,
                      .format = WeightFormat::f32,
                      .outputs = calibration.dim,
                      .inputs = calibration.length};
  };
  for (std::size_t layer = 0; layer < weights.layers.size(); ++layer) {
    weights.layers[layer].esa_q = keep(calibration.layers[layer].q);
    weights.layers[layer].esa_k = keep(calibration.layers[layer].k);
  }
}

WeightReads weight_reads(const Weights& weights, const ModelSpec& spec) {
  const auto bytes = [](const float* norm, std::int64_t size) {
    return norm == nullptr ? 0 : size * std::int64_t{sizeof(float)};
  };
  WeightReads reads;
  for (const LayerWeights& layer : weights.layers) {
    reads.always += bytes(layer.input_norm, spec.hidden) + bytes_of(layer.qkv) + bytes(layer.q_norm, spec.head_dim) +
                    bytes(layer.k_norm, spec.head_dim);
    if (spec.esa) reads.always += layer.esa_q.bytes() + layer.esa_k.bytes();
    reads.summaries += bytes(layer.input_norm_summary, spec.hidden) + bytes_of(layer.qkv_summary);
    const bool last = &layer == &weights.layers.back();
    (last ? reads.logits : reads.always) += bytes_of(layer.output) + bytes(layer.post_norm, spec.hidden) +
                                            bytes_of(layer.gate) + bytes_of(layer.up) + bytes_of(layer.down);
  }
  reads.logits += bytes(weights.final_norm, spec.hidden) + weights.head.bytes();
  return reads;
}

}  // namespace precis
