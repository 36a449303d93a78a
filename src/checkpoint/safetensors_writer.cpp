#include "checkpoint/safetensors_writer.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/checked.h"
#include "base/error.h"

namespace precis {
namespace {

constexpr std::size_t length_bytes = 8;
constexpr int data_alignment = 64;
constexpr const char* metadata_key = "__metadata__";

// The order in the file.
std::vector<const NamedTensor*> aligned_order(std::span<const NamedTensor> tensors) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& tensor : tensors) order.push_back(&tensor);
  const auto rank = [](const NamedTensor* tensor) {
    const bool keeps_alignment = tensor->view.bytes() % std::int64_t{data_alignment} == 0;
    return keeps_alignment ? std::int64_t{data_alignment} : size_of(tensor->view.type);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](const NamedTensor* a, const NamedTensor* b) { return rank(a) > rank(b); });
  return order;
}

std::string header_of(const std::vector<const NamedTensor*>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[metadata_key] = metadata;
  std::set<std::string_view> names = {metadata_key};
  std::int64_t offset = 0;
  for (const NamedTensor* tensor : tensors) {
    if (!names.insert(tensor->name).second) fail("{}: a tensor of this name cannot be written (again)", tensor->name);
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

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path) {
  const auto order = aligned_order(tensors);
  const std::string header = within(path.string(), [&] { return header_of(order, metadata); });
  const std::uint64_t length = header.size();
  file_.write(std::as_bytes(std::span(&length, 1)));
  file_.write(header);
  auto begin = static_cast<std::int64_t>(length_bytes + header.size());
  for (const NamedTensor* tensor : order) {
    places_.emplace(tensor->name, Place{begin, tensor->view.bytes(), false});
    begin += tensor->view.bytes();
  }
}

void SafetensorsWriter::write(std::string_view name, std::span<const std::byte> data) {
  const auto found = places_.find(name);
  PRECIS_CHECK(found != places_.end(), "{} is not announced", name);
  Place& place = found->second;
  PRECIS_CHECK(!place.written && place.bytes == narrow<std::int64_t>(data.size()), "{}: {} bytes", name, data.size());
  file_.write_at(place.begin, data);
  place.written = true;
}

void SafetensorsWriter::commit() {
  for (const auto& [name, place] : places_) PRECIS_CHECK(place.written, "{} is not written", name);
  file_.commit();
}

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  SafetensorsWriter writer(path, tensors, metadata);
  for (const NamedTensor& tensor : tensors) {
    writer.write(tensor.name, {tensor.view.data, narrow<std::size_t>(tensor.view.bytes())});
  }
  writer.commit();
}

}  // namespace precis
