#include "checkpoint/checkpoint.h"

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/fields.h"

namespace precis {
namespace {

constexpr std::int64_t max_config_bytes = 16 << 20;
constexpr std::size_t max_shards = 10'000;
constexpr const char* single_name = "model.safetensors";
constexpr const char* shard_index_name = "model.safetensors.index.json";

JsonView read_object(const Folder& folder, std::string_view name) {
  const JsonView document = JsonView::read(folder.at(name), max_config_bytes);
  if (!document.is_object()) document.refuse("expected an object");
  return document;
}

// Says what the folder has instead of safetensors, if that can be seen.
[[noreturn]] void refuse_without_tensors(const Folder& folder) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path(), ignored)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".bin" || extension == ".pt" || extension == ".pth" || extension == ".gguf") {
      fail("{}: only safetensors are read, found {} (expected {} or {})", folder.path().string(),
           printable(entry.path().filename().string()), single_name, shard_index_name);
    }
  }
  fail("{}: neither {} nor {}", folder.path().string(), single_name, shard_index_name);
}

}  // namespace

Checkpoint::Checkpoint(Folder folder) : folder_(std::move(folder)), config_(read_object(folder_, "config.json")) {
  constexpr std::string_view generation = "generation_config.json";
  if (folder_.has(generation)) generation_config_ = read_object(folder_, generation);
  if (folder_.has(single_name)) {
    open_single(single_name);
  } else if (folder_.has(shard_index_name)) {
    open_shards(shard_index_name);
  } else {
    refuse_without_tensors(folder_);
  }
}

void Checkpoint::open_single(const std::string& name) {
  const SafetensorsFile& file = shard(name);
  for (std::string& tensor : file.names()) file_of_tensor_.emplace(std::move(tensor), &file);
}

void Checkpoint::open_shards(const std::string& index) {
  const JsonView map = JsonView::read(folder_.at(index)).at("weight_map");
  const std::string place = map.place();
  if (!map.is_object()) map.refuse("expected an object");
  for (const std::string& tensor : map.keys()) {
    if (!is_printable(tensor)) fail("{}: {}: a tensor's name with control characters", place, printable(tensor));
    const JsonView entry = map.at(tensor);
    const std::string& name = entry.string();
    if (!is_printable(name)) entry.refuse("expected a file name");
    const SafetensorsFile& file = within(entry.place(), [&]() -> const SafetensorsFile& { return shard(name); });
    if (!file.find(tensor)) fail("{}: no such tensor in {}", entry.place(), file.path().string());
    file_of_tensor_.emplace(tensor, &file);
  }
  for (const auto& [name, file] : files_) {
    for (const std::string& tensor : file.names()) {
      if (!file_of_tensor_.contains(tensor)) log().warn("{}: {} is not in {}: ignored", name, tensor, index);
    }
  }
}

const SafetensorsFile& Checkpoint::shard(const std::string& name) {
  const auto found = files_.find(name);
  if (found != files_.end()) return found->second;
  if (files_.size() == max_shards) fail("more than {} shards", max_shards);
  return files_.emplace(name, SafetensorsFile(folder_.at(name))).first->second;
}

std::optional<HostTensor> Checkpoint::find(std::string_view name) const {
  const auto found = file_of_tensor_.find(name);
  if (found == file_of_tensor_.end()) return std::nullopt;
  return found->second->find(name);
}

void Checkpoint::release(std::string_view name) const {
  const auto found = file_of_tensor_.find(name);
  if (found != file_of_tensor_.end()) found->second->release(name);
}

HostTensor Checkpoint::tensor(std::string_view name) const {
  auto found = find(name);
  if (!found) fail("{}: {}: no such tensor", folder_.path().string(), name);
  return *std::move(found);
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> names;
  for (const auto& entry : file_of_tensor_) names.push_back(entry.first);
  return names;
}

std::vector<std::string> Checkpoint::files() const {
  std::vector<std::string> names;
  for (const auto& entry : files_) names.push_back(entry.first);
  return names;
}

std::int64_t Checkpoint::bytes() const {
  std::int64_t bytes = 0;
  for (const auto& entry : file_of_tensor_) bytes += entry.second->find(entry.first)->view.bytes();
  return bytes;
}

void Checkpoint::prefetch() const {
  for (const auto& entry : files_) entry.second.prefetch();
}

}  // namespace precis
