// Float matrices to and from a safetensors file, for tools that hand numbers to other programs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace precis {

struct FloatMatrix {
  std::string name;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<float> values;  // [rows, columns]
};

// Writes f32 tensors of shape [rows, columns], atomically. Throws std::runtime_error that names the file.
void write_matrices(const std::filesystem::path& path, const std::vector<FloatMatrix>& matrices);

}  // namespace precis
