// Turning a model's matrices into a quantized format: at load, and for files.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/thread_pool.h"
#include "device/host_arena.h"
#include "model/stored_matrix.h"

namespace precis {

// Writes one row in a format, as quantize_row does. Called on several threads at once.
using RowWriter = std::function<void(std::span<const float> row, std::byte* values, F16* scales)>;

// The format in which matrix `name` with so many inputs is to be kept where `wanted` is asked for; nothing:
// as it is. By its role in the network and its size alone, so that files and loading agree.
std::optional<WeightFormat> quantized_as(WeightFormat wanted, std::string_view name, std::int64_t inputs);

// Formats of single matrices by name, in place of what their role says.
using FormatChoice = std::map<std::string, WeightFormat, std::less<>>;

// What was chosen for the matrix; of others as above.
std::optional<WeightFormat> quantized_as(WeightFormat wanted, const FormatChoice& choice, std::string_view name,
                                         std::int64_t inputs);

class Quantizer {
 public:
  // `threads`: as ThreadPool counts them.
  Quantizer(WeightFormat wanted, int threads, FormatChoice choice = {})
      : wanted_(wanted), choice_(std::move(choice)), pool_(threads) {}

  // As quantized_as().
  std::optional<WeightFormat> format_for(std::string_view name, std::int64_t inputs) const {
    return quantized_as(wanted_, choice_, name, inputs);
  }

  // The matrix of plain elements in `format`, in memory that outlives the quantizer. `write`: who rounds its rows;
  // none: quantize_row. Throws Error that names matrix and row when a number is not finite or too large for a scale.
  StoredMatrix quantize(const std::string& name, const StoredMatrix& plain, WeightFormat format,
                        const RowWriter& write = {});

 private:
  WeightFormat wanted_;
  FormatChoice choice_;
  ThreadPool pool_;
  HostArena memory_;
};

}  // namespace precis
