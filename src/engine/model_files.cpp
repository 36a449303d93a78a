#include "engine/model_files.h"

#include <system_error>
#include <utility>

#include "base/checked.h"
#include "engine/engine_setup.h"
#include "families/families.h"
#include "model/random_tensors.h"
#include "model/stored_matrix.h"

namespace precis {
namespace {

constexpr std::int64_t max_config_bytes = 16 << 20;
constexpr const char* config_name = "config.json";
// Of a tokenizer's files, and for each byte of them what a process holds at most: tables of pieces and merges, and what
// reading took. Measured with those of GPT-2, Qwen3 and Mistral.
constexpr std::pair<const char*, double> text_files[] = {{"tokenizer.json", 5.5}, {"tokenizer.model", 26}};

std::optional<Checkpoint> open_checkpoint(const EngineOptions& options) {
  if (options.dummy_weights) return std::nullopt;
  return Checkpoint(Folder(options.model));
}

std::filesystem::path configuration_file(const std::filesystem::path& path) {
  return std::filesystem::is_directory(path) ? path / config_name : path;
}

std::string hash_of_text(std::string_view text) {
  return content_hash(std::as_bytes(std::span(text)));
}

}  // namespace

JsonView read_configuration(const std::filesystem::path& path) {
  return JsonView::read(configuration_file(path), max_config_bytes);
}

ModelFiles::ModelFiles(const EngineOptions& options)
    : options_(options),
      checkpoint_(open_checkpoint(options)),
      config_hash_(hash_of_text(read_text(configuration_file(options.model), max_config_bytes))) {}

Fingerprint ModelFiles::fingerprint() const {
  return {{"config.json", config_hash_},
          {"model", checkpoint_ ? model_hash(*checkpoint_) : fmt::format("random, seed {}", options_.dummy_seed)}};
}

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

std::int64_t ModelFiles::text_bytes() const {
  if (!checkpoint_) return 0;
  // The first one is read, as open_text() does.
  for (const auto& [name, held] : text_files) {
    std::error_code ignored;
    const std::uintmax_t size = std::filesystem::file_size(checkpoint_->folder().path() / name, ignored);
    if (!ignored) return static_cast<std::int64_t>(held * static_cast<double>(size));
  }
  return 0;
}

SamplingOptions ModelFiles::default_sampling() const {
  return read_default_sampling(checkpoint_ ? checkpoint_->generation_config() : std::nullopt);
}

WeightBytes ModelFiles::weight_bytes(const ModelSpec& spec) const {
  const auto wanted = weight_format(options_, spec);
  const FormatChoice choice = weight_choice(options_, spec);
  WeightBytes bytes;
  const auto add = [&](WeightFormat format, std::int64_t rows, std::int64_t row_bytes, const std::string& name) {
    const std::int64_t more = checked_mul(rows, row_bytes, name);
    bytes.all = checked_add(bytes.all, more, name);
    bytes.by_format[format] += more;
    bytes.tensors += is_quantized(format) ? 2 : 1;
    return more;
  };
  for (const ExpectedTensor& tensor : expected_tensors(spec)) {
    if (tensor.shape.size() != 2) {
      add(WeightFormat::f32, tensor.shape[0], sizeof(float), tensor.name);
      continue;
    }
    const std::int64_t outputs = tensor.shape[0];
    const std::int64_t inputs = tensor.shape[1];
    auto format =
        checkpoint_ ? find_matrix(*checkpoint_, tensor.name, outputs, inputs).format : format_of(spec.weights);
    const auto made =
        wanted && !is_quantized(format) ? quantized_as(*wanted, choice, tensor.name, inputs) : std::nullopt;
    if (made) format = *made;
    const std::int64_t row = value_row_bytes(format, inputs) + scale_row_bytes(format, inputs);
    const std::int64_t matrix = add(format, outputs, row, tensor.name);
    if (checkpoint_ && !made) bytes.mapped += matrix;
  }
  if (spec.esa) {
    const std::int64_t length = spec.kv_heads * spec.head_dim;
    add(WeightFormat::f32, 2 * spec.layers * spec.esa->dim, length * std::int64_t{sizeof(float)}, esa_file_name);
    bytes.tensors += 2 * spec.layers - 1;
  }
  return bytes;
}

void ModelFiles::choose_esa(const EngineOptions& options, ModelSpec& spec, bool can) const {
  // What is offloaded is read as far as it is selected.
  const auto without = [&](std::string_view why) {
    if (options.kv_offload) fail("kv_offload: esa is {}{}, expected on", options.esa, why);
  };
  if (options.esa == "off") return without("");
  const bool asked = options.esa == "on";
  if (!can) {
    if (asked) fail("esa: 'on', expected off or auto: this backend has no selective attention");
    return without(", and this backend has no selective attention");
  }
  if (checkpoint_ && !checkpoint_->folder().has(esa_file_name)) {
    if (asked)
      fail("{}: no {}, expected one where esa is on: precis calibrate makes it", options.model.string(), esa_file_name);
    return without(fmt::format(", and {} has no {}", options.model.string(), esa_file_name));
  }
  const std::int64_t length = spec.kv_heads * spec.head_dim;
  spec.esa =
      esa_rule(options, spec, checkpoint_ ? read_esa_dim(esa_file(), length, options.esa_dim) : random_dim(length));
}

std::filesystem::path ModelFiles::esa_file() const {
  return checkpoint_->folder().path() / esa_file_name;
}

EsaCalibration ModelFiles::open_esa(const ModelSpec& spec) const {
  if (!checkpoint_) return random_esa(spec);
  return read_esa_file(esa_file(), {spec.layers, spec.kv_heads * spec.head_dim, model_hash(*checkpoint_)},
                       options_.esa_dim);
}

std::int64_t ModelFiles::random_dim(std::int64_t length) const {
  constexpr std::int64_t usual_dim = 128;
  const std::int64_t dim = options_.esa_dim == 0 ? std::min(usual_dim, length) : options_.esa_dim;
  if (dim > length) fail("esa_dim: {}, expected at most {}, KV heads times head size", dim, length);
  return dim;
}

EsaCalibration ModelFiles::random_esa(const ModelSpec& spec) const {
  const std::int64_t length = spec.kv_heads * spec.head_dim;
  const std::int64_t dim = random_dim(length);
  EsaCalibration calibration{
      .dim = dim, .length = length, .layers = {}, .tokens = 0, .text_hash = {}, .model_hash = {}};
  const auto random = [&](std::int64_t layer, const char* of) {
    const std::string name = fmt::format("esa.layers.{}.{}", layer, of);
    const RandomTensors tensors({{name, {dim, length}}}, DType::f32, options_.dummy_seed, options_.threads);
    return to_floats(name, tensors.find(name)->view);
  };
  for (std::int64_t layer = 0; layer < spec.layers; ++layer) {
    calibration.layers.push_back({random(layer, "q"), random(layer, "k")});
  }
  return calibration;
}

Weights ModelFiles::load(const ModelSpec& spec, Device& device) const {
  const WeightBytes bytes = weight_bytes(spec);
  device.expect(bytes.all, bytes.tensors);
  std::optional<Quantizer> quantizer;
  if (const auto format = weight_format(options_, spec)) {
    quantizer.emplace(*format, options_.threads, weight_choice(options_, spec));
  }
  Quantizer* const used = quantizer ? &*quantizer : nullptr;
  if (!checkpoint_) {
    const RandomTensors random(expected_tensors(spec), spec.weights, options_.dummy_seed, options_.threads);
    return load_weights(random, spec, device, used);
  }
  checkpoint_->prefetch();
  return load_weights(*checkpoint_, spec, device, used);
}

}  // namespace precis
