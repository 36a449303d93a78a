#include "precis/tensor_file.h"

#include "base/error.h"
#include "checkpoint/safetensors_writer.h"

namespace precis {

void write_matrices(const std::filesystem::path& path, const std::vector<FloatMatrix>& matrices) {
  std::vector<NamedTensor> tensors;
  for (const FloatMatrix& matrix : matrices) {
    const TensorView view{
        reinterpret_cast<const std::byte*>(matrix.values.data()), DType::f32, {matrix.rows, matrix.columns}};
    if (matrix.rows < 0 || matrix.columns < 0 || view.elements() != static_cast<std::int64_t>(matrix.values.size())) {
      fail("{}: {}: {} values, expected [{}, {}]", path.string(), matrix.name, matrix.values.size(), matrix.rows,
           matrix.columns);
    }
    tensors.push_back({matrix.name, view});
  }
  write_safetensors(path, tensors);
}

}  // namespace precis
