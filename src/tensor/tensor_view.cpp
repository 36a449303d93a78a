#include "tensor/tensor_view.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace precis {

std::int64_t TensorView::elements() const {
  std::int64_t product = 1;
  for (const std::int64_t size : shape) product *= size;
  return product;
}

std::string shown_shape(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

void expect_shape(std::string_view name, const TensorView& tensor, std::initializer_list<NamedSize> sizes) {
  const bool equal = std::equal(sizes.begin(), sizes.end(), tensor.shape.begin(), tensor.shape.end(),
                                [](const NamedSize& named, std::int64_t size) { return named.value == size; });
  if (equal) return;
  std::vector<std::string> expected;
  for (const NamedSize& size : sizes) expected.push_back(fmt::format("{} {}", size.name, size.value));
  fail("{}: shape {}, expected [{}]", name, shown_shape(tensor.shape), fmt::join(expected, ", "));
}

std::vector<float> to_floats(std::string_view name, const TensorView& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  const auto each = [&]<typename Element>(Element) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      Element element;  // copied out: the file may hold it unaligned
      std::memcpy(&element, tensor.data + i * sizeof element, sizeof element);
      if constexpr (std::is_same_v<Element, float>) {
        values[i] = element;
      } else {
        values[i] = to_float(element);
      }
    }
  };
  switch (tensor.type) {
    case DType::f32:
      each(float{});
      break;
    case DType::f16:
      each(F16{});
      break;
    case DType::bf16:
      each(Bf16{});
      break;
    default:
      fail("{}: type {}, expected f32, f16 or bf16", name, name_of(tensor.type));
  }
  return values;
}

}  // namespace precis
