// What a checkpoint is, from its configuration and the headers of its tensor files: no weight is read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace precis {

struct LayerReport {
  std::string sight;        // "full", "window" or "summary"
  std::int64_t window = 0;  // tokens (window) or chunks (summary)
};

struct CheckpointReport {
  std::string family;
  std::int64_t layers = 0;
  std::int64_t hidden = 0;
  std::int64_t ffn = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t embeddings = 0;  // rows of the embedding table
  std::int64_t vocabulary = 0;  // ids that can be predicted
  std::int64_t context = 0;     // text tokens
  std::string rope;             // "theta 500000", "yarn, theta 1000000, factor 4, ..."
  bool tied_head = false;
  std::int64_t chunk_text = 0;     // k; 0: no summary attention
  std::int64_t chunk_summary = 0;  // S
  std::string summary;             // the other summary settings in words; empty without summary attention
  std::vector<LayerReport> layer;  // [layers]
  std::string quantized;           // "q8" or "q4" of a checkpoint that `precis quantize` wrote; else empty
  std::int64_t parameters = 0;     // numbers that the model uses
  std::int64_t bytes = 0;          // of the same tensors, as stored
  std::int64_t tensors = 0;
  std::vector<std::string> files;                                   // tensor files
  std::vector<std::pair<std::string, std::int64_t>> bytes_by_type;  // "bf16", bytes; "q8", bytes with scales
  std::vector<std::string> unused;                                  // tensors that the model has no use for
  std::int64_t kv_bytes_per_token_full = 0;  // bf16 K and V of one text token if every layer kept it
};

// Throws std::runtime_error with one line when the folder is not a checkpoint that Precis can run.
CheckpointReport inspect(const std::filesystem::path& folder);

// The same from a config.json alone, or a folder that has one: what a checkpoint of it would be, without files. Element
// types are as EngineOptions::dummy_weights has them.
CheckpointReport inspect_configuration(const std::filesystem::path& path);

}  // namespace precis
