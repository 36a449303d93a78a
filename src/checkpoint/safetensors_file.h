// One file of tensors. Format: https://huggingface.co/docs/safetensors: u64 length, JSON header, data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "tensor/tensor_view.h"

namespace precis {

// Opening reads the header alone; a tensor's bytes are read by whoever looks at them. Immutable, so any thread may use
// it. The tensors it hands out keep the mapping alive without it.
class SafetensorsFile {
 public:
  // Throws Error("PATH: ...") unless the whole header holds together: every type known, every shape and range inside
  // the file, and the tensors together covering the data without overlap or gap.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return map_->path(); }
  // Nothing when the file has no tensor of this name.
  std::optional<HostTensor> find(std::string_view name) const;
  // In alphabetical order.
  std::vector<std::string> names() const;
  // The free-form "__metadata__".
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Of all tensors.
  std::int64_t bytes() const { return bytes_; }
  // Tells the kernel that all tensors will be read soon.
  void prefetch() const { map_->prefetch(); }
  // Gives back what memory this process holds of a tensor; the next look reads it again.
  void release(std::string_view name) const;

 private:
  std::shared_ptr<const MappedFile> map_;
  std::map<std::string, TensorView, std::less<>> tensors_;
  std::map<std::string, std::string> metadata_;
  std::int64_t bytes_ = 0;
};

}  // namespace precis
