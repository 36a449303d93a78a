// Where an engine's model comes from: a checkpoint, or a config.json alone with random weights
// (EngineOptions::dummy_weights).
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string_view>

#include "checkpoint/checkpoint.h"
#include "device/device.h"
#include "esa/esa_file.h"
#include "model/model_spec.h"
#include "model/weights.h"
#include "precis/engine_options.h"
#include "precis/request.h"
#include "precis/text_codec.h"
#include "session/session_file.h"

namespace precis {

// The configuration at `path`: a config.json, or a folder that has one.
JsonView read_configuration(const std::filesystem::path& path);

struct WeightBytes {
  std::int64_t all = 0;
  std::int64_t mapped = 0;  // of these, where tensors live in the host's memory: in the files that they come from
  std::map<WeightFormat, std::int64_t> by_format;  // vectors count as f32
  std::int64_t tensors = 0;                        // in memory: values and scales apart
};

class ModelFiles {
 public:
  // Throws Error when there is no model that Precis can run.
  explicit ModelFiles(const EngineOptions& options);

  const std::filesystem::path& path() const { return options_.model; }
  ModelSpec read_spec() const;
  // None without tokenizer files, and for a model with random weights.
  std::optional<TextCodec> open_text() const;
  // What it will hold in memory, about: by the size of the files.
  std::int64_t text_bytes() const;
  std::string_view why_no_text() const {
    return checkpoint_ ? "no tokenizer.json and no tokenizer.model" : "a model with random weights has no text";
  }
  // As generation_config.json says; greedy without it.
  SamplingOptions default_sampling() const;
  // What the weights will take on a device, what layers select by included. Reads no element.
  WeightBytes weight_bytes(const ModelSpec& spec) const;
  // Sets ModelSpec::esa where layers are to select. `can`: the device has what it takes. Throws Error when it is asked
  // for and is not there.
  // With `options`, which may differ in numbers alone from those that this was opened with.
  void choose_esa(const EngineOptions& options, ModelSpec& spec, bool can) const;
  // What they select by. Throws Error when it is not this model's.
  EsaCalibration open_esa(const ModelSpec& spec) const;
  // What tells this model from others: its config.json, as it was when this was opened, and a hash of some bytes of
  // every tensor. Any thread.
  Fingerprint fingerprint() const;
  Weights load(const ModelSpec& spec, Device& device) const;

 private:
  std::filesystem::path esa_file() const;
  // Of random projections of vectors that are `length` long.
  std::int64_t random_dim(std::int64_t length) const;
  EsaCalibration random_esa(const ModelSpec& spec) const;

  EngineOptions options_;
  std::optional<Checkpoint> checkpoint_;  // none: random weights
  std::string config_hash_;
};

}  // namespace precis
