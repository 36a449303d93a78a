#include "precis/quantize.h"

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "backend/factory.h"
#include "base/atomic_folder.h"
#include "base/error.h"
#include "base/units.h"
#include "calibration/calibrator.h"
#include "calibration/usual_costs.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors_writer.h"
#include "engine/calibration_text.h"
#include "engine/format_search.h"
#include "families/families.h"
#include "families/quantization.h"
#include "model/quantizer.h"
#include "model/weight_names.h"

namespace precis {
namespace {

constexpr std::int64_t max_text_bytes = std::int64_t{1} << 30;

// What becomes of one tensor.
struct Item {
  std::string name;
  std::vector<std::int64_t> shape;     // of the plain tensor
  std::optional<WeightFormat> format;  // nothing: as it is
  std::vector<NamedTensor> written;    // types and shapes: the tensor, or values and scales
  std::string kind;                    // "q8", "bf16", ...
  std::int64_t bytes = 0;
};

using Shard = std::vector<Item>;

Item make_item(const Checkpoint& checkpoint, const Quantizer& quantizer, const ExpectedTensor& tensor) {
  const TensorView view = checkpoint.tensor(tensor.name).view;
  Item item{.name = tensor.name, .shape = tensor.shape, .format = {}, .written = {}, .kind = {}, .bytes = 0};
  if (view.shape.size() == 2) item.format = quantizer.format_for(item.name, view.shape[1]);
  if (item.format) {
    const std::int64_t outputs = view.shape[0];
    const std::int64_t inputs = view.shape[1];
    item.kind = name_of(*item.format);
    item.written = {{item.name, {nullptr, value_type(*item.format), value_shape(*item.format, outputs, inputs)}},
                    {scale_name(item.name), {nullptr, scale_type(*item.format), scale_shape(outputs, inputs)}}};
  } else {
    item.kind = name_of(view.type);
    item.written = {{item.name, {nullptr, view.type, view.shape}}};
  }
  for (const NamedTensor& part : item.written) item.bytes += part.view.bytes();
  return item;
}

// "model.layers.3.self_attn.q_proj.weight" -> "q_proj"
std::string kind_of(const std::string& name) {
  const std::size_t end = name.rfind('.');
  const std::size_t begin = name.rfind('.', end - 1);
  return name.substr(begin + 1, end - begin - 1);
}

// Files that say how text becomes ids and how to generate; what describes the plain weights stays behind.
bool is_copied(const std::string& name) {
  for (const std::string_view known : {"generation_config.json", "tokenizer.json", "tokenizer.model",
                                       "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                                       "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json"}) {
    if (name == known) return true;
  }
  return name.starts_with("LICENSE") || name.starts_with("NOTICE");
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

class Quantization {
 public:
  explicit Quantization(const QuantizeOptions& options)
      : options_(options), checkpoint_(Folder(options.model)), spec_(read_model_spec(checkpoint_)) {
    const auto format = quantized_format(options.weights);
    if (!format) fail("weights: '{}', expected q8, q6, q5 or q4", options.weights);
    if (options.threads < 0 || options.threads > 1024) {
      fail("threads: {}, expected an integer from 0 to 1024", options.threads);
    }
    if (options.shard_bytes < 1) fail("shard_bytes: {}, expected at least 1", options.shard_bytes);
    if (spec_.quantized) {
      fail("{}: quantized to {} already, expected plain weights", options.model.string(), name_of(*spec_.quantized));
    }
    format_ = *format;
    if (options.bits) check_bits(*options.bits, options.weights);
    if (!options.calibration.empty()) cut_text();
  }

  QuantizeReport run() {
    AtomicFolder folder(options_.output);
    FormatChoice choice;
    if (options_.bits && windows_.empty()) choice = usual_formats(spec_, *options_.bits);
    if (options_.bits && !windows_.empty()) {
      auto found = find_formats(checkpoint_, spec_, *device_, options_.threads, windows_, *options_.bits,
                                [&] { return proceed(); });
      if (!found) {
        report_.stopped = true;
        return std::move(report_);
      }
      choice = std::move(found->choice);
      report_.expected_cost = found->cost;
    }
    quantizer_.emplace(format_, options_.threads, std::move(choice));
    plan();
    expect_room(folder.inside());
    if (!windows_.empty()) calibrator_.emplace(checkpoint_, spec_, *quantizer_, *device_, std::move(windows_));
    for (std::size_t index = 0; index < shards_.size(); ++index) {
      if (!write_shard(folder.inside() / report_.files[index], shards_[index])) {
        report_.stopped = true;
        return std::move(report_);
      }
    }
    if (shards_.size() > 1) write_index(folder.inside());
    write_config(folder.inside());
    copy_others(folder.inside());
    folder.commit();
    return std::move(report_);
  }

 private:
  void plan() {
    std::map<std::string, std::int64_t> bytes_by_type;
    std::int64_t shard_bytes = 0;
    std::int64_t weights = 0;  // of quantized matrices, and the bytes that they take
    std::int64_t weight_bytes = 0;
    for (const ExpectedTensor& tensor : expected_tensors_head_last(spec_)) {
      Item item = make_item(checkpoint_, *quantizer_, tensor);
      if (!item.format && item.shape.size() == 2) report_.plain.push_back(item.name);
      if (shards_.empty() || shard_bytes + item.bytes > options_.shard_bytes) {
        shards_.emplace_back();
        shard_bytes = 0;
      }
      shard_bytes += item.bytes;
      report_.bytes += item.bytes;
      report_.bytes_before += checkpoint_.tensor(item.name).view.bytes();
      bytes_by_type[item.kind] += item.bytes;
      if (item.format) {
        weights += item.shape[0] * item.shape[1];
        weight_bytes += item.bytes;
        count_kind(item);
      }
      shards_.back().push_back(std::move(item));
    }
    if (weights > 0) report_.bits = 8 * static_cast<double>(weight_bytes) / static_cast<double>(weights);
    report_.bytes_by_type.assign(bytes_by_type.begin(), bytes_by_type.end());
    report_.left_out = unused_tensors(checkpoint_, spec_);
    for (std::size_t index = 1; index <= shards_.size(); ++index) {
      report_.files.push_back(shards_.size() == 1
                                  ? "model.safetensors"
                                  : fmt::format("model-{:05}-of-{:05}.safetensors", index, shards_.size()));
    }
  }

  void count_kind(const Item& item) {
    const std::string kind = kind_of(item.name);
    auto found = std::find_if(report_.kinds.begin(), report_.kinds.end(),
                              [&](const MatrixKind& known) { return known.name == kind; });
    if (found == report_.kinds.end()) found = report_.kinds.insert(found, {.name = kind, .matrices = 0, .formats = {}});
    ++found->matrices;
    ++found->formats[std::string(name_of(*item.format))];
  }

  void cut_text() {
    if (options_.calibration_tokens < 1) {
      fail("calibration_tokens: {}, expected at least 1", options_.calibration_tokens);
    }
    windows_ = cut_calibration_text(TextCodec(options_.model), options_.calibration, spec_.context,
                                    options_.calibration_tokens);
    for (const auto& window : windows_) report_.calibrated += static_cast<std::int64_t>(window.size());
    // Weights are rounded on the CPU; the moments of their inputs are summed in floats.
    device_ = open_backend("cpu", {.threads = options_.threads});
  }

  void expect_room(const std::filesystem::path& folder) const {
    std::error_code error;
    const auto space = std::filesystem::space(folder, error);
    if (error || space.available >= static_cast<std::uintmax_t>(report_.bytes)) return;
    fail("{}: {} of tensors do not fit, {} are free there", options_.output.string(),
         shown_bytes(static_cast<double>(report_.bytes)), shown_bytes(static_cast<double>(space.available)));
  }

  // False: stopped.
  bool write_shard(const std::filesystem::path& path, const Shard& shard) {
    std::vector<NamedTensor> tensors;
    for (const Item& item : shard) tensors.insert(tensors.end(), item.written.begin(), item.written.end());
    SafetensorsWriter writer(path, tensors, {{"format", "pt"}});
    for (const Item& item : shard) {
      if (!write_item(writer, item)) return false;
      written_ += item.bytes;
      if (!proceed()) return false;
    }
    writer.commit();
    return true;
  }

  bool proceed() const { return !options_.progress || options_.progress(written_, report_.bytes); }

  // False: stopped.
  bool write_item(SafetensorsWriter& writer, const Item& item) {
    const auto put = [&](const std::string& name, const TensorView& view) {
      writer.write(name, {view.data, static_cast<std::size_t>(view.bytes())});
    };
    if (item.format) {
      const auto matrix = within(options_.model.string(), [&] { return quantized(item); });
      if (!matrix) return false;
      put(item.name, matrix->values.view);
      put(scale_name(item.name), matrix->scales.view);
    } else {
      put(item.name, checkpoint_.tensor(item.name).view);
    }
    checkpoint_.release(item.name);
    return true;
  }

  // Nothing: stopped.
  std::optional<StoredMatrix> quantized(const Item& item) {
    if (calibrator_ && item.name.starts_with("model.layers.")) {
      // Items come layer by layer; the calibrated ones of a layer are all written before the next layer's first.
      if (layer_.empty()) layer_ = calibrator_->next_layer([&] { return proceed(); });
      const auto found = layer_.extract(item.name);
      PRECIS_CHECK(!found.empty() || layer_.empty(), "{} is none of the layer in work", item.name);
      if (found.empty()) return std::nullopt;
      return std::move(found.mapped());
    }
    if (calibrator_ && item.name == head_name(spec_)) return calibrator_->head();
    const StoredMatrix plain = find_matrix(checkpoint_, item.name, item.shape[0], item.shape[1]);
    return quantizer_->quantize(item.name, plain, *item.format);
  }

  void write_index(const std::filesystem::path& folder) const {
    nlohmann::ordered_json map = nlohmann::ordered_json::object();
    for (std::size_t index = 0; index < shards_.size(); ++index) {
      for (const Item& item : shards_[index]) {
        for (const NamedTensor& tensor : item.written) map[tensor.name] = report_.files[index];
      }
    }
    const nlohmann::ordered_json document = {{"metadata", {{"total_size", report_.bytes}}}, {"weight_map", map}};
    write_file(folder / "model.safetensors.index.json", document.dump(2) + "\n");
  }

  // The original's fields in their order, and one more.
  void write_config(const std::filesystem::path& folder) const {
    const std::string text = read_text(checkpoint_.folder().at("config.json"), max_text_bytes);
    auto config = nlohmann::ordered_json::parse(text);
    config["quantization_config"] = {
        {"quant_method", "precis"}, {"weights", options_.weights}, {"version", quantization_version}};
    write_file(folder / "config.json", config.dump(2) + "\n");
  }

  void copy_others(const std::filesystem::path& folder) const {
    for (const auto& entry : std::filesystem::directory_iterator(options_.model)) {
      const std::string name = entry.path().filename().string();
      if (is_copied(name) && entry.is_regular_file())
        write_file(folder / name, read_text(entry.path(), max_text_bytes));
    }
  }

  const QuantizeOptions& options_;
  Checkpoint checkpoint_;
  ModelSpec spec_;
  WeightFormat format_ = WeightFormat::q8;
  TextWindows windows_;  // of calibration, until the calibrator has them
  std::optional<Quantizer> quantizer_;
  std::unique_ptr<Device> device_;             // for calibration
  std::optional<Calibrator> calibrator_;       // where there are texts
  std::map<std::string, StoredMatrix> layer_;  // calibrated, not yet written
  std::vector<Shard> shards_;
  std::int64_t written_ = 0;
  QuantizeReport report_;
};

}  // namespace

QuantizeReport quantize(const QuantizeOptions& options) {
  return Quantization(options).run();
}

}  // namespace precis
