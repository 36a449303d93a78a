// Writing a checkpoint anew with quantized weights. docs/quantization.md describes what is written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace precis {

struct QuantizeOptions {
  // Folder of a checkpoint with plain weights. Required.
  std::filesystem::path model;

  // Folder to be made: it appears whole, or not at all. Nothing or an empty folder must be there. Required.
  std::filesystem::path output;

  // "q8" (8.5 bits a weight), "q6" (6.5), "q5" (5.5) or "q4" (4.5); with q5 and q4 some matrices have more
  // (docs/quantization.md). Required.
  std::string weights;

  // Texts that the weights are quantized on: matrices of layers and the head are rounded so that their products change
  // least on these. None: each block of weights is rounded alone. At least one of them has a window (2,048 tokens, or
  // the model's context where that is less); windows are taken from all parts of the texts.
  std::vector<std::string> calibration;
  // Tokens of them that are used, at most. More is better, and takes longer and 4 bytes * hidden a token.
  std::int64_t calibration_tokens = 32768;

  // With "q4": so many bits a weight, scales included, as the average of all quantized matrices, at most; 4.5 to 8.5.
  // With calibration texts each matrix is measured on them with four bits, alone, and those that this costs most get
  // q5, q6 or q8 until the bits are spent; it takes a pass over 1,024 tokens for every matrix. Without, they go to the
  // roles that it usually costs most, as EngineOptions::bits. None: formats by role.
  std::optional<double> bits;

  // 0: one a physical core that this process may use. The bytes written do not depend on it; with calibration texts
  // they depend, in their last bits, on the processor's instruction set.
  int threads = 0;

  // Bytes of a tensor file, at most, unless one matrix has more; beyond, there are several and an index.
  std::int64_t shard_bytes = std::int64_t{4} << 30;

  // Called after each tensor, and before each pass over the calibration texts, with the bytes written and those to be
  // written (none yet while `bits` are chosen by). False: stop, and leave nothing behind.
  std::function<bool(std::int64_t written, std::int64_t bytes)> progress;
};

// Matrices of one role, "q_proj", in all layers.
struct MatrixKind {
  std::string name;
  std::int64_t matrices = 0;                    // that were quantized
  std::map<std::string, std::int64_t> formats;  // so many of them to "q5"
};

struct QuantizeReport {
  bool stopped = false;           // by `progress`
  std::int64_t bytes_before = 0;  // of all tensors that the model uses
  std::int64_t bytes = 0;
  std::vector<std::pair<std::string, std::int64_t>> bytes_by_type;  // "q8", bytes with scales
  double bits = 0;                                                  // a weight of quantized matrices, with scales
  std::vector<MatrixKind> kinds;                                    // in the order of the tensors
  std::vector<std::string> files;                                   // tensor files
  std::vector<std::string> plain;     // matrices that stay as they are: their inputs are no multiple of a block
  std::vector<std::string> left_out;  // tensors that the model has no use for
  std::int64_t calibrated = 0;        // tokens of text that were used
  // With QuantizeOptions::bits and calibration texts: the divergence from the plain model, in nats a token, that each
  // matrix causes alone, added up; measured with four bits, and estimated from that for more. What all cause together
  // is near it.
  std::optional<double> expected_cost;
};

// Holds one tensor in memory at a time, with calibration texts one layer. Throws std::runtime_error with one line when
// the model is not a plain checkpoint that Precis can run, has numbers that cannot be quantized, or the folder cannot
// be written.
QuantizeReport quantize(const QuantizeOptions& options);

}  // namespace precis
