// Writing a checkpoint anew with quantized weights. docs/quantization.md describes what is written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace precis {

struct QuantizeOptions {
  // Folder of a checkpoint with plain weights. Required.
  std::filesystem::path model;

  // Folder to be made: it appears whole, or not at all. Nothing or an empty folder must be there. Required.
  std::filesystem::path output;

  // "q8" (8.5 bits a weight) or "q4" (5 bits; some matrices are q8: docs/quantization.md). Required.
  std::string weights;

  // 0: one a physical core that this process may use. The bytes written do not depend on it.
  int threads = 0;

  // Bytes of a tensor file, at most, unless one matrix has more; beyond, there are several and an index.
  std::int64_t shard_bytes = std::int64_t{4} << 30;

  // Called after each tensor with the bytes written and those to be written. False: stop, and leave nothing behind.
  std::function<bool(std::int64_t written, std::int64_t bytes)> progress;
};

struct QuantizeReport {
  bool stopped = false;           // by `progress`
  std::int64_t bytes_before = 0;  // of all tensors that the model uses
  std::int64_t bytes = 0;
  std::vector<std::pair<std::string, std::int64_t>> bytes_by_type;  // "q8", bytes with scales
  std::vector<std::string> files;                                   // tensor files
  std::vector<std::string> plain;     // matrices that stay as they are: their inputs are no multiple of a block
  std::vector<std::string> left_out;  // tensors that the model has no use for
};

// Holds one tensor in memory at a time. Throws std::runtime_error with one line when the model is not a plain
// checkpoint that Precis can run, has numbers that cannot be quantized, or the folder cannot be written.
QuantizeReport quantize(const QuantizeOptions& options);

}  // namespace precis
