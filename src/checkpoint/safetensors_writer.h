// Writing a file of tensors. Format: https://huggingface.co/docs/safetensors.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/file.h"
#include "tensor/tensor_view.h"

namespace precis {

// A tensor to be written; its memory stays the caller's.
struct NamedTensor {
  std::string name;
  TensorView view;
};

// One file, written tensor by tensor, atomically (AtomicFile). The data begins at a multiple of 64 bytes; first come
// the tensors whose size is such a multiple, then the others, wide elements first: so that every tensor is aligned to
// its element, and most to 64 bytes.
class SafetensorsWriter {
 public:
  // Names, types and shapes of all tensors; their `data` is not looked at. Throws Error("PATH: ...") when the file
  // cannot be written, or when a name is used twice or is not UTF-8.
  SafetensorsWriter(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                    const std::map<std::string, std::string>& metadata = {});

  // The bytes of one tensor. Each once, in any order.
  void write(std::string_view name, std::span<const std::byte> data);
  // When all are written.
  void commit();

 private:
  struct Place {
    std::int64_t begin;  // in the file
    std::int64_t bytes;
    bool written;
  };

  std::map<std::string, Place, std::less<>> places_;
  AtomicFile file_;
};

// All tensors at once.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace precis
