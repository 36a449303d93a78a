#include "checkpoint/safetensors_writer.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/checked.h"
#include "base/error.h"
#include "base/file.h"

namespace precis {
namespace {

constexpr std::size_t length_bytes = 8;
constexpr std::size_t data_alignment = 64;
constexpr const char* metadata_key = "__metadata__";

std::vector<const NamedTensor*> widest_first(std::span<const NamedTensor> tensors) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    return size_of(a->view.type) > size_of(b->view.type);
  });
  return order;
}

std::string header_of(const std::vector<const NamedTensor*>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[metadata_key] = metadata;
  std::int64_t offset = 0;
  for (const NamedTensor* tensor : tensors) {
    if (tensor->name == metadata_key || header.contains(tensor->name)) {
      fail("{}: a tensor of this name cannot be written (again)", tensor->name);
    }
    const std::int64_t end = checked_add(offset, tensor->view.bytes(), tensor->name);
    header[tensor->name] = {
        {"dtype", safetensors_name(tensor->view.type)}, {"shape", tensor->view.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    fail("the name of a tensor is not UTF-8");
  }
  while ((length_bytes + text.size()) % data_alignment != 0) text += ' ';
  return text;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const auto order = widest_first(tensors);
  const std::string header = within(path.string(), [&] { return header_of(order, metadata); });
  AtomicFile file(path);
  const std::uint64_t length = header.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const NamedTensor* tensor : order) {
    file.write(std::span(tensor->view.data, narrow<std::size_t>(tensor->view.bytes())));
  }
  file.commit();
}

}  // namespace precis
