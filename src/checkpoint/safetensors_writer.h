// Writing a file of tensors. Format: https://huggingface.co/docs/safetensors.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "tensor/tensor_view.h"

namespace precis {

// A tensor to be written; its memory stays the caller's.
struct NamedTensor {
  std::string name;
  TensorView view;
};

// Writes all tensors into one file, atomically (AtomicFile). The data begins at a multiple of 64 bytes and wide
// elements come first, so that every tensor is aligned to its element. Throws Error("PATH: ...") when the file cannot
// be written, or when a name is used twice or is not UTF-8.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace precis
