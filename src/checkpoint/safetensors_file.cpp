#include "checkpoint/safetensors_file.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/checked.h"
#include "base/error.h"
#include "base/json.h"
#include "checkpoint/fields.h"

namespace precis {
namespace {

constexpr std::int64_t length_bytes = 8;
constexpr std::int64_t max_header_bytes = 100'000'000;  // the format's own limit
constexpr std::size_t max_dimensions = 8;
constexpr std::string_view metadata_key = "__metadata__";

// Where a tensor lies in the data that follows the header, for the check that nothing overlaps.
struct Extent {
  std::int64_t begin;
  std::int64_t end;
  std::string name;
};

std::string_view header_of(const MappedFile& file) {
  const std::string path = file.path().string();
  const auto bytes = file.bytes();
  const auto size = static_cast<std::int64_t>(bytes.size());
  if (size < length_bytes) fail("{}: {} bytes, too short for a safetensors file", path, size);
  std::uint64_t length;  // little-endian in the file and on every machine that Precis runs on
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > static_cast<std::uint64_t>(max_header_bytes)) {
    fail("{}: header of {} bytes, at most {} are read (not a safetensors file?)", path, length, max_header_bytes);
  }
  if (static_cast<std::int64_t>(length) > size - length_bytes) {
    fail("{}: header of {} bytes in a file of {} bytes (cut short?)", path, length, size);
  }
  return {reinterpret_cast<const char*>(bytes.data()) + length_bytes, static_cast<std::size_t>(length)};
}

DType read_type(const JsonView& entry) {
  const JsonView value = entry.at("dtype");
  const auto type = dtype_from_safetensors(value.string());
  if (!type) value.refuse("expected F32, F16, BF16, I32, I64, U8, I8 or BOOL");
  return *type;
}

std::vector<std::int64_t> read_shape(const JsonView& entry) {
  const JsonView value = entry.at("shape");
  if (!value.is_array() || value.size() > max_dimensions) {
    value.refuse(fmt::format("expected a list of at most {} sizes", max_dimensions));
  }
  std::vector<std::int64_t> shape;
  for (std::size_t i = 0; i < value.size(); ++i) {
    shape.push_back(value[i].integer(0, std::numeric_limits<std::int64_t>::max()));
  }
  return shape;
}

// Bytes of a tensor whose shape came from a file.
std::int64_t checked_bytes(const TensorView& tensor, const std::string& place) {
  std::int64_t bytes = size_of(tensor.type);
  for (const std::int64_t size : tensor.shape) bytes = checked_mul(bytes, size, place);
  return bytes;
}

Extent read_extent(const JsonView& entry, const TensorView& tensor, std::int64_t data_bytes, const std::string& name) {
  const JsonView offsets = entry.at("data_offsets");
  if (!offsets.is_array() || offsets.size() != 2) offsets.refuse("expected [begin, end]");
  const std::int64_t begin = offsets[0].integer(0, data_bytes);
  const std::int64_t end = offsets[1].integer(begin, data_bytes);
  const std::int64_t bytes = checked_bytes(tensor, entry.place());
  if (end - begin != bytes) {
    fail("{}: {} bytes of data, but {} of shape {} takes {}", entry.place(), end - begin, name_of(tensor.type),
         shown_shape(tensor.shape), bytes);
  }
  return {begin, end, name};
}

// The format promises that the tensors tile the data: a gap or an overlap means a damaged or a crafted file.
void check_tiling(std::vector<Extent>& extents, std::int64_t data_bytes, const std::string& path) {
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::int64_t covered = 0;
  for (const Extent& extent : extents) {
    if (extent.begin < covered) fail("{}: {}: overlaps the tensor before it", path, extent.name);
    if (extent.begin > covered) {
      fail("{}: {}: begins at {}, but the tensor before it ends at {}", path, extent.name, extent.begin, covered);
    }
    covered = extent.end;
  }
  if (covered != data_bytes) fail("{}: {} bytes of data, but the tensors cover {}", path, data_bytes, covered);
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : map_(MappedFile::open(path)) {
  const std::string_view text = header_of(*map_);
  const JsonView header = JsonView::parse(text, path.string());
  if (!header.is_object()) header.refuse("expected an object as header");
  const std::byte* data = map_->bytes().data() + length_bytes + text.size();
  bytes_ = narrow<std::int64_t>(map_->bytes().size()) - length_bytes - narrow<std::int64_t>(text.size());
  std::vector<Extent> extents;
  for (const std::string& name : header.keys()) {
    if (!is_printable(name)) fail("{}: {}: a tensor's name with control characters", path.string(), printable(name));
    const JsonView entry = header.at(name);
    if (!entry.is_object()) entry.refuse("expected an object");
    if (name == metadata_key) {
      for (const std::string& key : entry.keys()) metadata_[key] = entry.at(key).string();
      continue;
    }
    TensorView view{nullptr, read_type(entry), read_shape(entry)};
    extents.push_back(read_extent(entry, view, bytes_, name));
    view.data = data + extents.back().begin;
    tensors_.emplace(name, std::move(view));
  }
  check_tiling(extents, bytes_, path.string());
}

std::optional<HostTensor> SafetensorsFile::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  return HostTensor{found->second, map_};
}

void SafetensorsFile::release(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return;
  map_->release({found->second.data, static_cast<std::size_t>(found->second.bytes())});
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const auto& entry : tensors_) names.push_back(entry.first);
  return names;
}

}  // namespace precis
