// Where weights come from, by the names that a checkpoint in Hugging Face layout uses: a checkpoint's files, or
// anything that can make tensors up.
#pragma once

#include <optional>
#include <string_view>

#include "tensor/tensor_view.h"

namespace precis {

class TensorSource {
 public:
  virtual ~TensorSource() = default;

  // Nothing when there is no tensor of this name.
  virtual std::optional<HostTensor> find(std::string_view name) const = 0;

  // Tensor `name` was copied and will hardly be looked at again: its memory may go where it can come back unchanged.
  virtual void release([[maybe_unused]] std::string_view name) const {}
};

}  // namespace precis
