#include "esa/esa_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <span>

#include "base/checked.h"
#include "base/error.h"
#include "checkpoint/fields.h"
#include "checkpoint/safetensors_file.h"
#include "checkpoint/safetensors_writer.h"

namespace precis {
namespace {

constexpr const char* format_name = "precis-esa";
constexpr const char* format_version = "1";
constexpr std::int64_t largest_length = 1 << 20;
constexpr std::int64_t stretches = 64;  // of a tensor, in a model's hash
constexpr std::int64_t stretch_bytes = 64;

class Fnv {
 public:
  void add(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) hash_ = (hash_ ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3U;
  }
  // With its length, so that where one text ends and the next begins counts too.
  void add(std::string_view text) {
    const auto length = static_cast<std::uint64_t>(text.size());
    add(std::as_bytes(std::span(&length, 1)));
    add(std::as_bytes(std::span(text.data(), text.size())));
  }
  std::string shown() const { return fmt::format("{:016x}", hash_); }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325U;
};

std::string query_name(std::size_t layer) {
  return fmt::format("esa.layers.{}.q", layer);
}
std::string key_name(std::size_t layer) {
  return fmt::format("esa.layers.{}.k", layer);
}

const std::string& field(const SafetensorsFile& file, const char* name) {
  const auto found = file.metadata().find(name);
  if (found == file.metadata().end()) fail("__metadata__.{}: missing, expected a string", name);
  return found->second;
}

std::int64_t count_field(const SafetensorsFile& file, const char* name, std::int64_t high) {
  const std::string& text = field(file, name);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > high) {
    fail("__metadata__.{}: '{}', expected an integer from 1 to {}", name, printable(text), high);
  }
  return value;
}

// The first `rows` rows.
std::vector<float> read_rows(const SafetensorsFile& file, const std::string& name, std::int64_t dim,
                             std::int64_t length, std::int64_t rows) {
  const auto tensor = file.find(name);
  if (!tensor) fail("{}: no such tensor", name);
  if (tensor->view.type != DType::f32) fail("{}: {}, expected f32", name, name_of(tensor->view.type));
  expect_shape(name, tensor->view, {{"dim", dim}, {"KV heads x head size", length}});
  std::vector<float> values = to_floats(name, tensor->view);
  values.resize(static_cast<std::size_t>(rows * length));
  const auto odd = std::find_if_not(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
  if (odd != values.end())
    fail("{}: row {}: {}, expected a finite number", name, (odd - values.begin()) / length, *odd);
  return values;
}

void check_format(const SafetensorsFile& file) {
  if (const std::string& format = field(file, "format"); format != format_name) {
    fail("__metadata__.format: '{}', expected {}", printable(format), format_name);
  }
  if (const std::string& version = field(file, "version"); version != format_version) {
    fail("__metadata__.version: '{}', expected {}", printable(version), format_version);
  }
}

// Rows of each projection that the file has, and those that are wanted of them.
struct EsaRows {
  std::int64_t all;
  std::int64_t wanted;
};

EsaRows rows_of(const SafetensorsFile& file, std::int64_t length, std::int64_t wanted) {
  const std::int64_t dim = count_field(file, "dim", std::min(length, largest_length));
  const std::int64_t rows = wanted == 0 ? dim : wanted;
  if (rows < 1 || rows > dim) fail("{} rows of each projection, expected {} of them", dim, rows);
  if (dim == length && rows < dim) {
    fail("{} rows of each projection, as many as columns, are the identity: {} of them make no calibration", dim, rows);
  }
  return {dim, rows};
}

EsaCalibration read(const std::filesystem::path& path, const EsaModel& model, std::int64_t wanted) {
  const SafetensorsFile file(path);
  check_format(file);
  if (const std::string& hash = field(file, "model_hash"); hash != model.hash) {
    fail("__metadata__.model_hash: '{}', expected {}: fitted for another model", printable(hash), model.hash);
  }
  EsaCalibration calibration;
  const EsaRows rows = rows_of(file, model.length, wanted);
  calibration.dim = rows.wanted;
  calibration.length = model.length;
  calibration.tokens = count_field(file, "tokens", std::int64_t{1} << 62);
  calibration.text_hash = field(file, "text_hash");
  calibration.model_hash = model.hash;
  const auto layers = static_cast<std::size_t>(model.layers);
  if (file.names().size() != 2 * layers) {
    fail("{} tensors, expected {}, two for each of {} layers", file.names().size(), 2 * layers, layers);
  }
  for (std::size_t layer = 0; layer < layers; ++layer) {
    calibration.layers.push_back({read_rows(file, query_name(layer), rows.all, model.length, rows.wanted),
                                  read_rows(file, key_name(layer), rows.all, model.length, rows.wanted)});
  }
  return calibration;
}

}  // namespace

std::string text_hash(const std::vector<std::string>& texts) {
  Fnv hash;
  for (const std::string& text : texts) hash.add(text);
  return hash.shown();
}

std::string model_hash(const Checkpoint& checkpoint) {
  Fnv hash;
  for (const std::string& name : checkpoint.names()) {
    const HostTensor tensor = checkpoint.tensor(name);
    hash.add(fmt::format("{} {} {}", name, name_of(tensor.view.type), shown_shape(tensor.view.shape)));
    const std::int64_t bytes = tensor.view.bytes();
    const std::span<const std::byte> all(tensor.view.data, narrow<std::size_t>(bytes));
    if (bytes <= stretches * stretch_bytes) {
      hash.add(all);
      continue;
    }
    const std::int64_t step = (bytes - stretch_bytes) / (stretches - 1);
    for (std::int64_t i = 0; i < stretches; ++i) {
      hash.add(all.subspan(static_cast<std::size_t>(i * step), static_cast<std::size_t>(stretch_bytes)));
    }
  }
  return hash.shown();
}

void expect_writable(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) fail("{}: is a folder, expected a file", path.string());
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (!std::filesystem::is_directory(folder, ignored)) {
    fail("{}: cannot be written: {} is no folder", path.string(), folder.string());
  }
  if (::access(folder.c_str(), W_OK) != 0) {
    fail("{}: cannot be written: no files can be made in {}", path.string(), folder.string());
  }
}

void write_esa_file(const std::filesystem::path& path, const EsaCalibration& calibration) {
  const auto elements = static_cast<std::size_t>(calibration.dim * calibration.length);
  std::vector<NamedTensor> tensors;
  for (std::size_t layer = 0; layer < calibration.layers.size(); ++layer) {
    const auto add = [&](const std::string& name, const std::vector<float>& rows) {
      PRECIS_CHECK(rows.size() == elements, "{}: {} numbers", name, rows.size());
      tensors.push_back(
          {name, {reinterpret_cast<const std::byte*>(rows.data()), DType::f32, {calibration.dim, calibration.length}}});
    };
    add(query_name(layer), calibration.layers[layer].q);
    add(key_name(layer), calibration.layers[layer].k);
  }
  write_safetensors(path, tensors,
                    {{"format", format_name},
                     {"version", format_version},
                     {"dim", std::to_string(calibration.dim)},
                     {"tokens", std::to_string(calibration.tokens)},
                     {"text_hash", calibration.text_hash},
                     {"model_hash", calibration.model_hash}});
}

EsaCalibration read_esa_file(const std::filesystem::path& path, const EsaModel& model, std::int64_t dim) {
  return within(path.string(), [&] { return read(path, model, dim); });
}

std::int64_t read_esa_dim(const std::filesystem::path& path, std::int64_t length, std::int64_t dim) {
  return within(path.string(), [&] {
    const SafetensorsFile file(path);
    check_format(file);
    return rows_of(file, length, dim).wanted;
  });
}

}  // namespace precis
