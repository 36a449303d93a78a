// A model's folder in Hugging Face layout: config.json, perhaps generation_config.json, and tensors in one or many
// safetensors files. Knows no model.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/safetensors_file.h"
#include "tensor/tensor_source.h"

namespace precis {

// Opening reads the JSON files and the headers of the tensor files, no weight. Immutable, so any thread may use it.
class Checkpoint final : public TensorSource {
 public:
  // Throws Error that names the file when anything is missing or malformed.
  explicit Checkpoint(Folder folder);
  Checkpoint(Checkpoint&&) = default;
  Checkpoint(const Checkpoint&) = delete;  // file_of_tensor_ points into files_
  Checkpoint& operator=(const Checkpoint&) = delete;

  const Folder& folder() const { return folder_; }
  const JsonView& config() const { return config_; }
  const std::optional<JsonView>& generation_config() const { return generation_config_; }

  // Nothing when there is no tensor of this name. The tensor keeps its file mapped.
  std::optional<HostTensor> find(std::string_view name) const override;
  void release(std::string_view name) const override;
  // Throws Error("FOLDER: NAME: no such tensor").
  HostTensor tensor(std::string_view name) const;
  // In alphabetical order.
  std::vector<std::string> names() const;
  // File names of the tensor files, in alphabetical order.
  std::vector<std::string> files() const;
  // Of all tensors, in bytes.
  std::int64_t bytes() const;
  // Tells the kernel that all tensors will be read soon.
  void prefetch() const;

 private:
  void open_single(const std::string& name);
  void open_shards(const std::string& index);
  const SafetensorsFile& shard(const std::string& name);

  Folder folder_;
  JsonView config_;
  std::optional<JsonView> generation_config_;
  std::map<std::string, SafetensorsFile> files_;                               // by file name
  std::map<std::string, const SafetensorsFile*, std::less<>> file_of_tensor_;  // into files_
};

}  // namespace precis
