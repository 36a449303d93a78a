#include "engine/model_files.h"

#include "base/checked.h"
#include "engine/engine_setup.h"
#include "families/families.h"
#include "model/random_tensors.h"
#include "model/stored_matrix.h"

namespace precis {
namespace {

constexpr std::int64_t max_config_bytes = 16 << 20;
constexpr const char* config_name = "config.json";

std::optional<Checkpoint> open_checkpoint(const EngineOptions& options) {
  if (options.dummy_weights) return std::nullopt;
  return Checkpoint(Folder(options.model));
}

}  // namespace

JsonView read_configuration(const std::filesystem::path& path) {
  const std::filesystem::path file = std::filesystem::is_directory(path) ? path / config_name : path;
  return JsonView::read(file, max_config_bytes);
}

ModelFiles::ModelFiles(const EngineOptions& options) : options_(options), checkpoint_(open_checkpoint(options)) {}

ModelSpec ModelFiles::read_spec() const {
  ModelSpec spec = checkpoint_ ? read_model_spec(*checkpoint_) : read_model_spec(read_configuration(options_.model));
  spec.rope.rounded = rounds_frequencies(options_);
  return spec;
}

std::optional<TextCodec> ModelFiles::open_text() const {
  if (!checkpoint_) return std::nullopt;
  const Folder& folder = checkpoint_->folder();
  if (!folder.has("tokenizer.json") && !folder.has("tokenizer.model")) return std::nullopt;
  return TextCodec(folder.path());
}

SamplingOptions ModelFiles::default_sampling() const {
  return read_default_sampling(checkpoint_ ? checkpoint_->generation_config() : std::nullopt);
}

std::int64_t ModelFiles::weight_bytes(const ModelSpec& spec) const {
  const auto wanted = weight_format(options_, spec);
  std::int64_t bytes = 0;
  for (const ExpectedTensor& tensor : expected_tensors(spec)) {
    if (tensor.shape.size() != 2) {
      bytes = checked_add(bytes, checked_mul<std::int64_t>(tensor.shape[0], sizeof(float), tensor.name), tensor.name);
      continue;
    }
    const std::int64_t outputs = tensor.shape[0];
    const std::int64_t inputs = tensor.shape[1];
    auto format =
        checkpoint_ ? find_matrix(*checkpoint_, tensor.name, outputs, inputs).format : format_of(spec.weights);
    if (wanted && !is_quantized(format)) format = quantized_as(*wanted, tensor.name, inputs).value_or(format);
    const std::int64_t row = value_row_bytes(format, inputs) + scale_row_bytes(format, inputs);
    bytes = checked_add(bytes, checked_mul(outputs, row, tensor.name), tensor.name);
  }
  return bytes;
}

Weights ModelFiles::load(const ModelSpec& spec, Device& device) const {
  std::optional<Quantizer> quantizer;
  if (const auto format = weight_format(options_, spec)) quantizer.emplace(*format, options_.threads);
  Quantizer* const used = quantizer ? &*quantizer : nullptr;
  if (!checkpoint_) {
    const RandomTensors random(expected_tensors(spec), spec.weights, options_.dummy_seed, options_.threads);
    return load_weights(random, spec, device, used);
  }
  checkpoint_->prefetch();
  return load_weights(*checkpoint_, spec, device, used);
}

}  // namespace precis
