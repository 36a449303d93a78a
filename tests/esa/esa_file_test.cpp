// The file of projections: what is written is read, and what does not fit is refused in one line.
#include "esa/esa_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <random>

#include "base/error.h"
#include "checkpoint/safetensors_writer.h"
#include "esa/closed_form.h"
#include "support/random.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

class EsaFileTest : public ::testing::Test {
 protected:
  EsaFileTest() {
    std::string name = (std::filesystem::temp_directory_path() / "precis-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
    Random random(std::random_device{}());
    calibration_ = {.dim = 3, .length = 8, .layers = {}, .tokens = 77, .text_hash = "0123", .model_hash = "abcd"};
    for (int layer = 0; layer < 2; ++layer) {
      EsaLayer& rows = calibration_.layers.emplace_back();
      for (auto* matrix : {&rows.q, &rows.k}) {
        for (int i = 0; i < 24; ++i) matrix->push_back(static_cast<float>(random.unit() - 0.5));
      }
    }
  }
  ~EsaFileTest() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path path() const { return folder_ / "esa.safetensors"; }

  // What is refused when `change` has been at the file's parts.
  struct Parts {
    std::map<std::string, std::pair<std::vector<std::int64_t>, std::vector<float>>> tensors;
    std::map<std::string, std::string> metadata;
  };
  std::string refusal(const std::function<void(Parts&)>& change, std::int64_t dim = 0) const {
    Parts parts{{},
                {{"format", "precis-esa"},
                 {"version", "1"},
                 {"dim", "3"},
                 {"tokens", "77"},
                 {"text_hash", "0123"},
                 {"model_hash", "abcd"}}};
    for (std::size_t layer = 0; layer < 2; ++layer) {
      parts.tensors["esa.layers." + std::to_string(layer) + ".q"] = {{3, 8}, calibration_.layers[layer].q};
      parts.tensors["esa.layers." + std::to_string(layer) + ".k"] = {{3, 8}, calibration_.layers[layer].k};
    }
    change(parts);
    std::vector<NamedTensor> tensors;
    for (const auto& [name, tensor] : parts.tensors) {
      tensors.push_back({name, {reinterpret_cast<const std::byte*>(tensor.second.data()), DType::f32, tensor.first}});
    }
    write_safetensors(path(), tensors, parts.metadata);
    try {
      read_esa_file(path(), model_, dim);
    } catch (const Error& error) {
      const std::string what = error.what();
      EXPECT_EQ(what.rfind(path().string() + ": ", 0), 0U) << what;
      EXPECT_EQ(what.find('\n'), std::string::npos) << what;
      return what;
    }
    return "";
  }
  void expect_refused(const std::function<void(Parts&)>& change, const std::string& part) const {
    const std::string what = refusal(change);
    EXPECT_NE(what.find(part), std::string::npos) << "'" << part << "' is not in '" << what << "'";
  }

  std::filesystem::path folder_;
  EsaCalibration calibration_;
  EsaModel model_{.layers = 2, .length = 8, .hash = "abcd"};
};

TEST_F(EsaFileTest, WhatIsWrittenIsRead) {
  write_esa_file(path(), calibration_);
  const EsaCalibration read = read_esa_file(path(), model_, 0);
  EXPECT_EQ(read.dim, 3);
  EXPECT_EQ(read.length, 8);
  EXPECT_EQ(read.tokens, 77);
  EXPECT_EQ(read.text_hash, "0123");
  EXPECT_EQ(read.model_hash, "abcd");
  ASSERT_EQ(read.layers.size(), 2U);
  for (std::size_t layer = 0; layer < 2; ++layer) {
    EXPECT_EQ(read.layers[layer].q, calibration_.layers[layer].q);
    EXPECT_EQ(read.layers[layer].k, calibration_.layers[layer].k);
  }
}

TEST_F(EsaFileTest, FewerRowsAreTheFirstOnes) {
  write_esa_file(path(), calibration_);
  const EsaCalibration read = read_esa_file(path(), model_, 2);
  EXPECT_EQ(read.dim, 2);
  const std::vector<float>& k = calibration_.layers[1].k;
  EXPECT_EQ(read.layers[1].k, std::vector<float>(k.begin(), k.begin() + 16));
  EXPECT_THROW(read_esa_file(path(), model_, 4), Error);
}

TEST_F(EsaFileTest, AnIdentityIsReadWholeOrNotAtAll) {
  calibration_.dim = 8;
  for (EsaLayer& layer : calibration_.layers) layer = identity_layer(8);
  write_esa_file(path(), calibration_);
  EXPECT_EQ(read_esa_file(path(), model_, 8).dim, 8);
  EXPECT_THROW(read_esa_file(path(), model_, 4), Error);
}

TEST_F(EsaFileTest, RefusesWhatDoesNotFit) {
  EXPECT_EQ(refusal([](Parts&) {}), "");
  expect_refused([](Parts& parts) { parts.metadata["model_hash"] = "dead"; }, "fitted for another model");
  expect_refused([](Parts& parts) { parts.metadata.erase("model_hash"); }, "model_hash: missing");
  expect_refused([](Parts& parts) { parts.metadata["format"] = "pt"; }, "format: 'pt'");
  expect_refused([](Parts& parts) { parts.metadata["version"] = "2"; }, "version: '2', expected 1");
  for (const char* dim : {"", "0", "-3", "9", "3x", "99999999999999999999"}) {
    expect_refused([&](Parts& parts) { parts.metadata["dim"] = dim; }, "dim: '" + std::string(dim) + "', expected");
  }
  expect_refused([](Parts& parts) { parts.metadata["dim"] = "2"; }, "shape [3, 8], expected [dim 2");
  expect_refused([](Parts& parts) { parts.metadata["tokens"] = "many"; }, "tokens: 'many'");
  expect_refused([](Parts& parts) { parts.metadata.erase("text_hash"); }, "text_hash: missing");
  expect_refused([](Parts& parts) { parts.tensors.erase("esa.layers.1.k"); }, "3 tensors, expected 4");
  expect_refused(
      [](Parts& parts) {
        parts.tensors["esa.layers.2.k"] = parts.tensors["esa.layers.1.k"];
        parts.tensors.erase("esa.layers.1.k");
      },
      "esa.layers.1.k: no such tensor");
  expect_refused(
      [](Parts& parts) {
        parts.tensors["esa.layers.0.q"] = {{8, 3}, std::vector<float>(24)};
      },
      "esa.layers.0.q: shape [8, 3]");
  expect_refused([](Parts& parts) { parts.tensors["esa.layers.1.q"].second[17] = std::nanf(""); },
                 "esa.layers.1.q: row 2: nan");
  std::ofstream(path()) << "no tensors";
  EXPECT_THROW(read_esa_file(path(), model_, 0), Error);
  EXPECT_THROW(read_esa_file(folder_ / "absent", model_, 0), Error);
}

TEST_F(EsaFileTest, WhereNothingCanBeWrittenIsSaidBefore) {
  EXPECT_NO_THROW(expect_writable(path()));
  EXPECT_NO_THROW(expect_writable("esa.safetensors"));
  EXPECT_THROW(expect_writable(folder_), Error);
  EXPECT_THROW(expect_writable(folder_ / "absent" / "esa.safetensors"), Error);
}

TEST(ShippedFilesTest, FitTheirModels) {
  for (const auto& [name, layers] : {std::pair("demo-ksa", 12), std::pair("demo-dense", 8)}) {
    SCOPED_TRACE(name);
    const std::filesystem::path folder = std::filesystem::path(PRECIS_MODELS) / name;
    const EsaModel model{.layers = layers, .length = 128, .hash = model_hash(Checkpoint{Folder(folder)})};
    EXPECT_EQ(read_esa_file(folder / esa_file_name, model, 0).dim, 64);
    const EsaCalibration half = read_esa_file(folder / esa_file_name, model, 32);
    EXPECT_EQ(half.layers.back().q.size(), 32U * 128U);
  }
}

TEST(HashTest, TellsTextsAndModelsApart) {
  EXPECT_EQ(text_hash({"ab", "c"}), text_hash({"ab", "c"}));
  EXPECT_NE(text_hash({"ab", "c"}), text_hash({"a", "bc"}));
  EXPECT_NE(text_hash({"ab"}), text_hash({"ab", ""}));
  EXPECT_EQ(text_hash({"ab"}).size(), 16U);
  const Checkpoint ksa{Folder(std::string(PRECIS_MODELS) + "/demo-ksa")};
  const Checkpoint dense{Folder(std::string(PRECIS_MODELS) + "/demo-dense")};
  EXPECT_EQ(model_hash(ksa), model_hash(ksa));
  EXPECT_NE(model_hash(ksa), model_hash(dense));
}

}  // namespace
}  // namespace precis::test
