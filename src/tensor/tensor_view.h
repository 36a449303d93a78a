// A tensor somewhere in memory: where, of which type and shape. Owns nothing.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace precis {

// Row-major and dense. `data` may be unaligned when it points into a file.
struct TensorView {
  const std::byte* data = nullptr;
  DType type = DType::f32;
  std::vector<std::int64_t> shape;

  std::int64_t elements() const;
  std::int64_t bytes() const { return elements() * size_of(type); }
};

// A tensor in host memory with whatever keeps that memory alive (a mapped file, a vector).
struct HostTensor {
  TensorView view;
  std::shared_ptr<const void> keeper;
};

// A named size, for messages: {"hidden_size", 256}.
struct NamedSize {
  std::string_view name;
  std::int64_t value;
};

// "[8193, 256]"
std::string shown_shape(std::span<const std::int64_t> shape);

// Throws Error("NAME: shape [8193, 256], expected [vocab_size 8192, hidden_size 256]") unless the shape is as said.
void expect_shape(std::string_view name, const TensorView& tensor, std::initializer_list<NamedSize> sizes);

// Every element as float. The type must be f32, f16 or bf16 (else Error with `name`).
std::vector<float> to_floats(std::string_view name, const TensorView& tensor);

}  // namespace precis
