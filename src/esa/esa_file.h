// The projections that make short score vectors of queries and keys (docs/esa.md), and the file that holds them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace precis {

// The file's name beside a model.
inline constexpr const char* esa_file_name = "esa.safetensors";

// One layer: q' = A Q and k' = B k. Row r of both belong together, the most telling rows come first, so that the first
// rows are what a fit of fewer rows gives.
struct EsaLayer {
  std::vector<float> q;  // A: [dim, length]
  std::vector<float> k;  // B: [dim, length]
};

struct EsaCalibration {
  std::int64_t dim = 0;     // of the short vectors; equal to `length`: all are the identity, and scores exact
  std::int64_t length = 0;  // of queries and keys: KV heads * head size
  std::vector<EsaLayer> layers;
  std::int64_t tokens = 0;  // of text that it was fitted on
  std::string text_hash;
  std::string model_hash;
};

// What a calibration must fit.
struct EsaModel {
  std::int64_t layers = 0;
  std::int64_t length = 0;
  std::string hash;
};

// FNV-1a, 64 bits, as sixteen hexadecimal digits.
std::string text_hash(const std::vector<std::string>& texts);
// The same of what the tensors are called, of their types and shapes, and of 64 stretches of 64 bytes of each: it tells
// models apart without reading them whole.
std::string model_hash(const Checkpoint& checkpoint);

// Throws Error("PATH: ...") when no file can be written there: to be asked before the work that fills it.
void expect_writable(const std::filesystem::path& path);
// The file appears whole or not at all. Throws Error("PATH: ...").
void write_esa_file(const std::filesystem::path& path, const EsaCalibration& calibration);

// The first `dim` rows of each layer's projections; 0: all that there are. Throws Error("PATH: ...") with one line when
// the file is none of these, belongs to another model or has fewer rows.
EsaCalibration read_esa_file(const std::filesystem::path& path, const EsaModel& model, std::int64_t dim);

// EsaCalibration::dim of the same, from the file's header: whether it is for this model is not asked.
std::int64_t read_esa_dim(const std::filesystem::path& path, std::int64_t length, std::int64_t dim);

}  // namespace precis
