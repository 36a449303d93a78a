// Layers and the head quantized on text: which matrices, the same bytes on any number of threads, and what it is for.
#include "calibration/calibrator.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "backend/factory.h"
#include "calibration/sensitivity.h"
#include "checkpoint/checkpoint.h"
#include "families/families.h"
#include "model/weight_names.h"
#include "support/random.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

using Matrices = std::map<std::string, StoredMatrix>;

TextWindows random_windows(const ModelSpec& spec, std::uint64_t seed) {
  Random random(seed);
  TextWindows windows;
  for (const std::int64_t length : {60, 64, 7}) {
    auto& window = windows.emplace_back();
    for (std::int64_t i = 0; i < length; ++i)
      window.push_back(static_cast<std::int32_t>(random.below(spec.vocabulary)));
  }
  return windows;
}

Matrices calibrate(const Checkpoint& checkpoint, const ModelSpec& spec, const TextWindows& windows, int threads) {
  const auto device = open_backend("cpu", {.threads = threads});
  Quantizer quantizer(WeightFormat::q4, threads);
  Calibrator calibrator(checkpoint, spec, quantizer, *device, windows);
  Matrices all;
  for (std::int64_t layer = 0; layer < spec.layers; ++layer) all.merge(calibrator.next_layer([] { return true; }));
  if (quantizer.format_for(head_name(spec), spec.hidden)) all[head_name(spec)] = calibrator.head();
  return all;
}

bool same_bytes(const HostTensor& a, const HostTensor& b) {
  return a.view.bytes() == b.view.bytes() &&
         std::memcmp(a.view.data, b.view.data, static_cast<std::size_t>(a.view.bytes())) == 0;
}

TEST(CalibratorThreadsTest, EveryMatrixTheSameOnAnyNumberOfThreads) {
  for (const char* name : {"ksa-variants/base", "ksa-variants/mix-half", "ksa-variants/shared", "families/qwen3"}) {
    SCOPED_TRACE(name);
    const Checkpoint checkpoint{Folder(data_folder() / name)};
    const ModelSpec spec = read_model_spec(checkpoint);
    const TextWindows windows = random_windows(spec, std::random_device{}());
    const Matrices one = calibrate(checkpoint, spec, windows, 1);
    const Matrices three = calibrate(checkpoint, spec, windows, 3);
    const Quantizer quantizer(WeightFormat::q4, 1);
    std::size_t expected = 0;
    for (const std::string& tensor : checkpoint.names()) {
      const TensorView view = checkpoint.tensor(tensor).view;
      if (view.shape.size() != 2) continue;
      if (!tensor.starts_with("model.layers.") && tensor != head_name(spec)) continue;
      const auto format = quantizer.format_for(tensor, view.shape[1]);
      if (!format) continue;
      ++expected;
      ASSERT_TRUE(one.contains(tensor)) << tensor;
      EXPECT_EQ(one.at(tensor).format, *format) << tensor;
    }
    EXPECT_EQ(one.size(), expected);
    ASSERT_EQ(three.size(), expected);
    for (const auto& [tensor, matrix] : one) {
      EXPECT_TRUE(same_bytes(matrix.values, three.at(tensor).values)) << tensor;
      EXPECT_TRUE(same_bytes(matrix.scales, three.at(tensor).scales)) << tensor;
    }
  }
}

// A tied head is the embedding as well, which text says nothing of: small random models may lose there what they gain.
TEST(CalibratorTest, AHeadRoundedOnTextCostsLessThereThanOneRoundedAlone) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  int heads = 0;
  for (const std::string& name : folders("families")) {
    SCOPED_TRACE(name);
    const Checkpoint checkpoint{Folder(data_folder() / "families" / name)};
    const ModelSpec spec = read_model_spec(checkpoint);
    if (spec.tied_head) continue;
    const TextWindows windows = random_windows(spec, seed);
    const Matrices all = calibrate(checkpoint, spec, windows, 2);
    const std::string head = head_name(spec);
    if (!all.contains(head)) continue;
    ++heads;
    const StoredMatrix& rounded = all.at(head);
    EXPECT_EQ(rounded.values.view.shape[0], spec.embeddings);
    Quantizer quantizer(WeightFormat::q4, 1);
    const StoredMatrix plain = find_matrix(checkpoint, head, spec.embeddings, spec.hidden);
    const StoredMatrix alone = quantizer.quantize(head, plain, rounded.format);
    const auto device = open_backend("cpu", {.threads = 1});
    Sensitivity sensitivity(checkpoint, spec, *device, windows);
    EXPECT_LT(sensitivity.cost(head, rounded), sensitivity.cost(head, alone));
  }
  EXPECT_GT(heads, 1);
}

TEST(CalibratorTest, StopsWhenAsked) {
  const Checkpoint checkpoint{Folder(data_folder() / "ksa-variants" / "base")};
  const ModelSpec spec = read_model_spec(checkpoint);
  const auto device = open_backend("reference", {});
  Quantizer quantizer(WeightFormat::q4, 1);
  Calibrator calibrator(checkpoint, spec, quantizer, *device, random_windows(spec, 1));
  int calls = 0;
  EXPECT_TRUE(calibrator.next_layer([&] { return ++calls < 3; }).empty());
  EXPECT_EQ(calls, 3);
}

}  // namespace
}  // namespace precis::test
