// A matrix as it lies in files and in host memory: one tensor of plain elements, or `NAME.weight` in a quantized format
// beside its scales, `NAME.weight_scale`. docs/quantization.md is the description for others.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor_source.h"
#include "tensor/weight_format.h"

namespace precis {

struct StoredMatrix {
  HostTensor values;
  HostTensor scales;  // of quantized formats
  WeightFormat format = WeightFormat::bf16;

  std::int64_t bytes() const;
};

// "model.layers.0.mlp.up_proj.weight" -> "model.layers.0.mlp.up_proj.weight_scale"
std::string scale_name(std::string_view weight);

// Types and shapes of the tensors of a quantized matrix. Values: i8 [outputs, inputs] (q8) or u8 [outputs, bytes of a
// row]. Scales, a word for each block: f16 (q8) or i16 [outputs, inputs / 32].
DType value_type(WeightFormat format);
std::vector<std::int64_t> value_shape(WeightFormat format, std::int64_t outputs, std::int64_t inputs);
DType scale_type(WeightFormat format);
std::vector<std::int64_t> scale_shape(std::int64_t outputs, std::int64_t inputs);

// Matrix `name` [outputs, inputs] of a source; its type says its format. Throws Error("NAME: ...") when it is missing,
// or when a type or shape is another one. Reads no element.
StoredMatrix find_matrix(const TensorSource& source, const std::string& name, std::int64_t outputs,
                         std::int64_t inputs);

// Throws Error that names the row when a scale is not a finite number, which those of q8 alone can be.
void check_scales(const std::string& name, const StoredMatrix& matrix);

}  // namespace precis
