// Quantized weights from the door: files and loading agree to the bit, and the numbers are those of the weights that
// the formats stand for.
#include "precis/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "checkpoint/hand_made.h"
#include "checkpoint/safetensors_writer.h"
#include "engine/answers.h"
#include "engine/calibration_text.h"
#include "model/stored_matrix.h"
#include "precis/checkpoint_report.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

namespace fs = std::filesystem;

const std::vector<std::int32_t> prompt = {1, 415, 301, 88, 77, 901, 12, 5000, 33, 471, 1022, 9, 640, 250, 31, 8};

LogitRows logits_of(const fs::path& model, const std::string& backend, const std::string& weights,
                    std::optional<double> bits = {}) {
  EngineOptions options;
  options.model = model;
  options.backend = backend;
  options.weights = weights;
  options.bits = bits;
  options.context = 64;
  options.compute = "f32";
  Engine engine(options);
  LogitRows rows;
  Request request = greedy_request(prompt, 3);
  collect(request, rows, true);
  Stream stream = engine.submit(std::move(request));
  wait_for(stream);
  return rows;
}

QuantizeReport write_quantized(const fs::path& model, const fs::path& output, const std::string& weights) {
  QuantizeOptions options;
  options.model = model;
  options.output = output;
  options.weights = weights;
  return quantize(options);
}

// The checkpoint in `from` with each quantized matrix as the floats that it stands for.
void write_dequantized(const fs::path& from, const fs::path& to) {
  const Checkpoint checkpoint{Folder(from)};
  std::vector<NamedTensor> tensors;
  std::vector<std::vector<float>> floats;
  floats.reserve(checkpoint.names().size());
  for (const std::string& name : checkpoint.names()) {
    if (name.ends_with("_scale")) continue;
    const TensorView view = checkpoint.tensor(name).view;
    if (view.type != DType::i8 && view.type != DType::u8) {
      tensors.push_back({name, view});
      continue;
    }
    const std::int64_t inputs = quantized_block * checkpoint.tensor(scale_name(name)).view.shape[1];
    const StoredMatrix matrix = find_matrix(checkpoint, name, view.shape[0], inputs);
    std::vector<float>& values = floats.emplace_back(static_cast<std::size_t>(view.shape[0] * inputs));
    for (std::int64_t row = 0; row < view.shape[0]; ++row) {
      dequantize_row(
          matrix.format, matrix.values.view.data + row * value_row_bytes(matrix.format, inputs),
          reinterpret_cast<const F16*>(matrix.scales.view.data + row * scale_row_bytes(matrix.format, inputs)),
          std::span(values).subspan(static_cast<std::size_t>(row * inputs), static_cast<std::size_t>(inputs)));
    }
    tensors.push_back({name, {reinterpret_cast<const std::byte*>(values.data()), DType::f32, {view.shape[0], inputs}}});
  }
  write_safetensors(to / "model.safetensors", tensors);
  auto config = nlohmann::json::parse(std::ifstream(from / "config.json"));
  config.erase("quantization_config");
  std::ofstream(to / "config.json") << config.dump();
}

class QuantizedLongTest : public testing::TestWithParam<std::string> {};

TEST_P(QuantizedLongTest, FilesAndLoadingAgreeToTheBit) {
  for (const char* name : {"demo-ksa", "demo-dense"}) {
    SCOPED_TRACE(name);
    const TemporaryFolder home;
    write_quantized(models_folder() / name, home.path() / "out", GetParam());
    EXPECT_EQ(logits_of(home.path() / "out", "cpu", ""), logits_of(models_folder() / name, "cpu", GetParam()));
  }
}

TEST_P(QuantizedLongTest, ReferenceComputesWhatTheFormatStandsFor) {
  const TemporaryFolder home;
  write_quantized(models_folder() / "demo-ksa", home.path() / "out", GetParam());
  fs::create_directory(home.path() / "plain");
  write_dequantized(home.path() / "out", home.path() / "plain");
  EXPECT_EQ(logits_of(home.path() / "out", "reference", ""), logits_of(home.path() / "plain", "reference", ""));
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantizedLongTest, testing::Values("q8", "q6", "q5", "q4"),
                         [](const auto& info) { return info.param; });

// Every family, in shards and in one file, odd sizes among them.
QuantizeOptions four_bits_of_demo(const TemporaryFolder& home) {
  QuantizeOptions options;
  options.model = models_folder() / "demo-dense";
  options.output = home.path() / "out";
  options.weights = "q4";
  return options;
}

TEST(Quantize, EveryFixtureLoadsAgain) {
  std::vector<fs::path> models;
  for (const char* name : {"llama", "mistral-nemo", "qwen2", "qwen3"})
    models.push_back(data_folder() / "families" / name);
  models.push_back(data_folder() / "ksa-variants" / "mix0");
  for (const fs::path& model : models) {
    SCOPED_TRACE(model.string());
    for (const char* weights : {"q8", "q6", "q5", "q4"}) {
      const TemporaryFolder home;
      QuantizeOptions options;
      options.model = model;
      options.output = home.path() / "out";
      options.weights = weights;
      options.shard_bytes = 50'000;
      const QuantizeReport report = quantize(options);
      const CheckpointReport before = inspect(model);
      const CheckpointReport after = inspect(home.path() / "out");
      EXPECT_EQ(after.parameters, before.parameters);
      EXPECT_EQ(after.bytes, report.bytes);
      EXPECT_EQ(after.files, report.files);
      EXPECT_EQ(after.quantized, weights);
      EXPECT_EQ(after.bytes_by_type, report.bytes_by_type);
      EXPECT_TRUE(after.unused.empty());
      EngineOptions engine;
      engine.model = home.path() / "out";
      engine.backend = "reference";
      engine.context = 16;
      EXPECT_GE(Engine(engine).memory().weight_bytes, report.bytes);
    }
  }
}

TEST(Quantize, ResidentSizeIsTheFormats) {
  EngineOptions options;
  options.model = models_folder() / "demo-dense";
  options.context = 64;
  options.weights = "q8";
  const MemoryReport memory = Engine(options).memory();
  std::int64_t sum = 0;
  for (const auto& [format, bytes] : memory.weight_formats) {
    EXPECT_TRUE(format == "q8" || format == "f32") << format;
    sum += bytes;
  }
  EXPECT_EQ(sum, memory.weight_bytes);
  const std::int64_t parameters = inspect(options.model).parameters;
  EXPECT_NEAR(static_cast<double>(memory.weight_bytes), 8.5 / 8 * static_cast<double>(parameters), 3e4);
}

TEST(Quantize, RefusesInOneLine) {
  const TemporaryFolder home;
  const auto refused = [&](QuantizeOptions options, const std::vector<std::string>& parts) {
    expect_error([&] { quantize(options); }, parts);
  };
  QuantizeOptions options;
  options.model = models_folder() / "demo-dense";
  options.output = home.path() / "out";
  options.weights = "q3";
  refused(options, {"weights: 'q3', expected q8, q6, q5 or q4"});
  options.weights = "q8";
  options.output = options.model;
  refused(options, {"demo-dense", "not empty"});
  options.output = home.path() / "absent" / "out";
  refused(options, {"absent"});
  options.output = home.path() / "out";
  quantize(options);
  options.model = options.output;
  options.output = home.path() / "again";
  refused(options, {"out: quantized to q8 already"});
  EngineOptions engine;
  engine.model = home.path() / "out";
  engine.weights = "q4";
  expect_error([&] { Engine{engine}; }, {"weights: 'q4'", "quantized to q8 already"});
  engine.weights = "int8";
  expect_error([&] { Engine{engine}; }, {"weights: 'int8'", "q8, q6, q5, q4"});
}

TEST(Quantize, CalibrationIsRefusedInOneLine) {
  const TemporaryFolder home;
  QuantizeOptions options = four_bits_of_demo(home);
  options.calibration = {"Once upon a time", "and again"};
  expect_error([&] { quantize(options); }, {"calibration text: ", "tokens, expected at least 204"});
  options.calibration_tokens = 0;
  expect_error([&] { quantize(options); }, {"calibration_tokens: 0"});
  options.calibration_tokens = 2048;
  options.model = data_folder() / "families" / "qwen3";
  expect_error([&] { quantize(options); }, {"tokenizer"});
  EXPECT_TRUE(fs::is_empty(home.path()));
}

TEST(Quantize, BitsAreRefusedInOneLine) {
  const TemporaryFolder home;
  QuantizeOptions options = four_bits_of_demo(home);
  for (const double bits : {4.4, 8.6, std::nan("")}) {
    options.bits = bits;
    expect_error([&] { quantize(options); }, {"bits: ", "expected a number from 4.5 to 8.5"});
  }
  options.bits = 6;
  options.weights = "q8";
  expect_error([&] { quantize(options); }, {"bits: 6", "q4 alone"});
  EXPECT_TRUE(fs::is_empty(home.path()));
  EngineOptions engine;
  engine.model = options.model;
  for (const char* weights : {"", "q5", "q8"}) {
    engine.weights = weights;
    engine.bits = 6;
    expect_error([&] { Engine{engine}; }, {"bits: 6", "q4 alone"});
  }
  engine.weights = "q4";
  for (const double bits : {4.4, 8.6, std::nan("")}) {
    engine.bits = bits;
    expect_error([&] { Engine{engine}; }, {"bits: ", "expected a number from 4.5 to 8.5"});
  }
}

// Without text, more bits go by role, in files and at load alike.
TEST(QuantizeLongTest, BitsByRoleAreTheSameInAFolderAndAtLoad) {
  const TemporaryFolder home;
  QuantizeOptions options = four_bits_of_demo(home);
  options.bits = 5.7;
  const QuantizeReport report = quantize(options);
  EXPECT_LE(report.bits, 5.7);
  EXPECT_GT(report.bits, 5.6);
  EXPECT_FALSE(report.expected_cost);
  EngineOptions engine;
  engine.model = options.model;
  engine.context = 16;
  engine.weights = "q4";
  engine.bits = 5.7;
  EXPECT_EQ(Engine(engine).memory().weight_bytes, [&] {
    EngineOptions folder = engine;
    folder.model = options.output;
    folder.bits = {};
    return Engine(folder).memory().weight_bytes;
  }());
  EXPECT_EQ(logits_of(options.output, "cpu", ""), logits_of(options.model, "cpu", "q4", 5.7));
  EXPECT_NE(logits_of(options.output, "cpu", ""), logits_of(options.model, "cpu", "q4"));
  engine.model = options.output;
  expect_error([&] { Engine{engine}; }, {"bits: 5.7", "quantized already"});
}

// Which formats matrices have in the files is what the report says, and the folder computes.
TEST(QuantizeLongTest, AFolderHasTheFormatsThatAreReported) {
  const TemporaryFolder home;
  QuantizeOptions options = four_bits_of_demo(home);
  std::string& text = options.calibration.emplace_back();
  for (int i = 0; i < 1000; ++i) text += "It was a dark night. ";
  options.calibration_tokens = 2048;
  options.bits = 6.25;
  const QuantizeReport report = quantize(options);
  EXPECT_LE(report.bits, 6.25);
  EXPECT_GT(report.bits, 6);
  EXPECT_GT(report.expected_cost.value_or(0), 0);
  const Checkpoint checkpoint{Folder(options.output)};
  std::map<std::string, std::map<std::string, std::int64_t>> formats;
  std::map<std::string, std::int64_t> all;
  double bytes = 0;
  double weights = 0;
  for (const std::string& name : checkpoint.names()) {
    const TensorView view = checkpoint.tensor(name).view;
    if (view.type != DType::i8 && view.type != DType::u8) continue;
    const std::string matrix = name.substr(0, name.rfind('.'));
    const std::string kind = matrix.substr(matrix.rfind('.') + 1);
    ++all[kind];
    const std::int64_t inputs = quantized_block * checkpoint.tensor(scale_name(name)).view.shape[1];
    const StoredMatrix stored = find_matrix(checkpoint, name, view.shape[0], inputs);
    ++formats[kind][std::string(name_of(stored.format))];
    bytes += static_cast<double>(view.bytes() + checkpoint.tensor(scale_name(name)).view.bytes());
    weights += static_cast<double>(view.shape[0] * inputs);
  }
  EXPECT_DOUBLE_EQ(report.bits, 8 * bytes / weights);
  ASSERT_EQ(report.kinds.size(), all.size());
  for (const MatrixKind& kind : report.kinds) {
    EXPECT_EQ(kind.matrices, all[kind.name]) << kind.name;
    EXPECT_EQ(kind.formats, formats[kind.name]) << kind.name;
  }
  EXPECT_EQ(inspect(options.output).quantized, "q4");
  EXPECT_EQ(logits_of(options.output, "cpu", "").size(), prompt.size() + 2) << "of the prompt and two of three answers";
}

TEST(Quantize, CalibrationNeedsRoomForText) {
  const TextCodec codec(models_folder() / "demo-dense");
  const auto before = static_cast<std::int64_t>(codec.encode_prompt("").size());
  const std::vector<std::string> texts = {"It was a dark night."};
  expect_error([&] { cut_calibration_text(codec, texts, before, 100); }, {"calibration text: ", "no room"});
  for (const std::vector<std::int32_t>& window : cut_calibration_text(codec, texts, before + 1, 100)) {
    EXPECT_EQ(static_cast<std::int64_t>(window.size()), before + 1);
  }
}

TEST(Quantize, StoppedInCalibrationLeavesNothing) {
  const TemporaryFolder home;
  QuantizeOptions options = four_bits_of_demo(home);
  std::string& text = options.calibration.emplace_back();
  for (int i = 0; i < 1000; ++i) text += "It was a dark night. ";
  options.calibration_tokens = 2048;
  int calls = 0;
  options.progress = [&](std::int64_t written, std::int64_t) {
    ++calls;
    return written == 0 || calls < 4;  // norms are written, the first layer is in work
  };
  EXPECT_TRUE(quantize(options).stopped);
  EXPECT_EQ(calls, 4);
  EXPECT_TRUE(fs::is_empty(home.path()));
}

TEST(Quantize, StoppedLeavesNothing) {
  const TemporaryFolder home;
  QuantizeOptions options = four_bits_of_demo(home);
  int calls = 0;
  options.progress = [&](std::int64_t written, std::int64_t bytes) {
    EXPECT_LE(written, bytes);
    return ++calls < 5;
  };
  EXPECT_TRUE(quantize(options).stopped);
  EXPECT_EQ(calls, 5);
  EXPECT_TRUE(fs::is_empty(home.path()));
}

}  // namespace
}  // namespace precis::test
