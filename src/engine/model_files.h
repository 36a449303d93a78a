// Where an engine's model comes from: a checkpoint, or a config.json alone with random weights
// (EngineOptions::dummy_weights).
#pragma once

#include <filesystem>
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

class ModelFiles {
 public:
  // Throws Error when there is no model that Precis can run.
  explicit ModelFiles(const EngineOptions& options);

  const std::filesystem::path& path() const { return options_.model; }
  ModelSpec read_spec() const;
  // None without tokenizer files, and for a model with random weights.
  std::optional<TextCodec> open_text() const;
  std::string_view why_no_text() const {
    return checkpoint_ ? "no tokenizer.json and no tokenizer.model" : "a model with random weights has no text";
  }
  // As generation_config.json says; greedy without it.
  SamplingOptions default_sampling() const;
  // Bytes that the weights will take on a device. Reads no element.
  std::int64_t weight_bytes(const ModelSpec& spec) const;
  // What layers select by; nothing where they do not. `can`: the device has what it takes. Sets ModelSpec::esa. Throws
  // Error when it is asked for and is not there.
  std::optional<EsaCalibration> open_esa(ModelSpec& spec, bool can) const;
  // What tells this model from others: its config.json, as it was when this was opened, and a hash of some bytes of
  // every tensor. Any thread.
  Fingerprint fingerprint() const;
  Weights load(const ModelSpec& spec, Device& device) const;

 private:
  EsaCalibration random_esa(const ModelSpec& spec) const;

  EngineOptions options_;
  std::optional<Checkpoint> checkpoint_;  // none: random weights
  std::string config_hash_;
};

}  // namespace precis
