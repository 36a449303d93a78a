// Layers run one by one give what the whole decoder gives, and moments are those of the rows that products meet.
#include "calibration/layer_runner.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

#include "backend/factory.h"
#include "calibration/input_moments.h"
#include "checkpoint/checkpoint.h"
#include "families/families.h"
#include "support/random.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

// The numbers that another implementation computed for whole models (tests/data/README.md), got layer by layer.
TEST(LayerRunnerTest, LayersInTurnMakeTheModel) {
  for (const std::string& name : folders("ksa-variants")) {
    SCOPED_TRACE(name);
    const auto folder = data_folder() / "ksa-variants" / name;
    const Checkpoint checkpoint{Folder(folder)};
    const ModelSpec spec = read_model_spec(checkpoint);
    const ReferenceCase expected = read_checkpoint_case(folder);
    const auto device = open_backend("cpu", {.threads = 2, .exact_activations = true});
    const Weights weights = load_weights(checkpoint, spec, *device);
    const auto tokens = static_cast<std::int64_t>(expected.ids.size());
    const std::int64_t rows = window_rows(spec, tokens);
    std::vector<float> x(static_cast<std::size_t>(rows * spec.hidden));
    const std::vector<std::int32_t> ids = window_ids(spec, expected.ids);
    ASSERT_EQ(static_cast<std::int64_t>(ids.size()), rows);
    device->ops().embed({ids.data(), weights.embedding, x.data(), rows});
    for (std::int64_t layer = 0; layer < spec.layers; ++layer) {
      LayerRunner runner(spec, layer, *device, tokens);
      int ends = 0;
      LayerWatch watch;
      watch.entry = x.data();
      watch.end = [&](const float* given) {
        ++ends;
        std::copy_n(given, (layer + 1 < spec.layers ? rows : tokens) * spec.hidden, x.begin());
      };
      runner.run(weights.layers[static_cast<std::size_t>(layer)], tokens, watch);
      EXPECT_EQ(ends, 1);
    }
    device->ops().rms_norm({x.data(), weights.final_norm, x.data(), tokens, spec.hidden, spec.epsilon});
    std::vector<float> logits(static_cast<std::size_t>(tokens * spec.vocabulary));
    const std::array<LinearPart, 1> head = {{{weights.head, nullptr, logits.data(), spec.vocabulary}}};
    device->ops().linear({x.data(), spec.hidden, tokens, head});
    ASSERT_EQ(logits.size(), expected.logits.size());
    for (std::size_t i = 0; i < logits.size(); ++i) ASSERT_NEAR(logits[i], expected.logits[i], 1e-3) << i;
  }
}

TEST(LayerRunnerTest, LeavesOutWhatFollows) {
  const auto folder = data_folder() / "ksa-variants" / "base";
  const Checkpoint checkpoint{Folder(folder)};
  const ModelSpec spec = read_model_spec(checkpoint);
  const auto device = open_backend("reference", {});
  const Weights weights = load_weights(checkpoint, spec, *device);
  LayerRunner runner(spec, 0, *device, 40);
  const std::vector<float> entry(static_cast<std::size_t>(window_rows(spec, 40) * spec.hidden), 0.5F);
  LayerWatch watch;
  watch.entry = entry.data();
  std::vector<const std::byte*> products;
  watch.product = [&](const LinearArgs& args) {
    products.push_back(args.parts.front().weight.data);
    return products.back() != weights.layers[0].gate.weight.data;
  };
  watch.end = [](const float*) { ADD_FAILURE(); };
  runner.run(weights.layers[0], 40, watch);
  EXPECT_EQ(products.back(), weights.layers[0].gate.weight.data);
  EXPECT_EQ(products.size(), 4U) << "q/k/v of text and of summaries, o, gate and up";
}

std::vector<float> random_floats(std::size_t count) {
  Random random(std::random_device{}());
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.unit() - 0.5);
  return values;
}

TEST(InputMomentsThreadsTest, AreSumsOfSquares) {
  constexpr std::int64_t inputs = 96;
  constexpr std::int64_t stride = 100;
  const std::vector<std::int64_t> calls = {50, 1, 37};
  const std::vector<float> x = random_floats(50 * stride);
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 3}) {
    const auto device = open_backend("cpu", {.threads = threads});
    InputMoments moments(*device, inputs, 50);
    std::vector<double> expected(inputs * inputs);
    for (const std::int64_t rows : calls) {
      moments.add({x.data(), stride, rows, {}});
      for (std::int64_t i = 0; i < inputs * inputs; ++i) {
        for (std::int64_t row = 0; row < rows; ++row) {
          const auto at = [&](std::int64_t column) {
            return static_cast<double>(x[static_cast<std::size_t>(row * stride + column)]);
          };
          expected[static_cast<std::size_t>(i)] += at(i / inputs) * at(i % inputs);
        }
      }
    }
    EXPECT_EQ(moments.rows(), 88);
    results.emplace_back(moments.sums(), moments.sums() + inputs * inputs);
    for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(results.back()[i], expected[i], 1e-4);
  }
  EXPECT_EQ(results[0], results[1]);
}

}  // namespace
}  // namespace precis::test
