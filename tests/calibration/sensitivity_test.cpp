// What one quantized matrix costs, beside the same divergence from logits that are computed layer by layer.
#include "calibration/sensitivity.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>

#include "backend/factory.h"
#include "calibration/layer_products.h"
#include "calibration/layer_runner.h"
#include "checkpoint/checkpoint.h"
#include "families/families.h"
#include "support/random.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

std::vector<std::int32_t> random_ids(const ModelSpec& spec, std::size_t count, Random& random) {
  std::vector<std::int32_t> ids(count);
  for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random.below(spec.vocabulary));
  return ids;
}

// [tokens, vocabulary]
std::vector<float> logits_of(const ModelSpec& spec, const Weights& weights, Device& device,
                             const std::vector<std::int32_t>& text) {
  const auto tokens = static_cast<std::int64_t>(text.size());
  const std::vector<std::int32_t> ids = window_ids(spec, text);
  const auto rows = static_cast<std::int64_t>(ids.size());
  std::vector<float> x(static_cast<std::size_t>(rows * spec.hidden));
  device.ops().embed({ids.data(), weights.embedding, x.data(), rows});
  for (std::int64_t layer = 0; layer < spec.layers; ++layer) {
    LayerRunner runner(spec, layer, device, tokens);
    LayerWatch watch;
    watch.entry = x.data();
    watch.end = [&](const float* given) {
      std::copy_n(given, (layer + 1 < spec.layers ? rows : tokens) * spec.hidden, x.begin());
    };
    runner.run(weights.layers[static_cast<std::size_t>(layer)], tokens, watch);
  }
  device.ops().rms_norm({x.data(), weights.final_norm, x.data(), tokens, spec.hidden, spec.epsilon});
  std::vector<float> logits(static_cast<std::size_t>(tokens * spec.vocabulary));
  const std::array<LinearPart, 1> head = {{{weights.head, nullptr, logits.data(), spec.vocabulary}}};
  device.ops().linear({x.data(), spec.hidden, tokens, head});
  return logits;
}

// Mean over rows of KL(softmax(p) || softmax(q)), straight from its definition.
double divergence(const std::vector<float>& p, const std::vector<float>& q, std::int64_t vocabulary) {
  double total = 0;
  for (std::size_t first = 0; first < p.size(); first += static_cast<std::size_t>(vocabulary)) {
    double p_sum = 0;
    double q_sum = 0;
    for (std::size_t i = first; i < first + static_cast<std::size_t>(vocabulary); ++i) {
      p_sum += std::exp(static_cast<double>(p[i]));
      q_sum += std::exp(static_cast<double>(q[i]));
    }
    for (std::size_t i = first; i < first + static_cast<std::size_t>(vocabulary); ++i) {
      const double share = std::exp(static_cast<double>(p[i])) / p_sum;
      total += share * std::log(share / (std::exp(static_cast<double>(q[i])) / q_sum));
    }
  }
  return total / static_cast<double>(p.size() / static_cast<std::size_t>(vocabulary));
}

TEST(SensitivityTest, IsTheDivergenceOfOneMatrixAlone) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  for (const char* name : {"ksa-variants/base", "families/qwen3"}) {
    SCOPED_TRACE(name);
    const Checkpoint checkpoint{Folder(data_folder() / name)};
    const ModelSpec spec = read_model_spec(checkpoint);
    Random random(seed);
    const std::vector<std::int32_t> ids = random_ids(spec, 50, random);
    const auto device = open_backend("cpu", {.threads = 2, .exact_activations = true});
    Sensitivity sensitivity(checkpoint, spec, *device, {ids});
    Weights weights = load_weights(checkpoint, spec, *device);
    const std::vector<float> plain = logits_of(spec, weights, *device, ids);
    Quantizer quantizer(WeightFormat::q4, 1);
    for (const LayerProduct& product : products_of(weights.layers[1], 1)) {
      for (const auto& [matrix, slot] : product) {
        SCOPED_TRACE(matrix);
        const WeightView before = slot->weight;
        if (before.inputs % row_multiple(WeightFormat::q4) != 0) continue;
        const StoredMatrix four = quantizer.quantize(
            matrix, find_matrix(checkpoint, matrix, before.outputs, before.inputs), WeightFormat::q4);
        slot->weight.data = four.values.view.data;
        slot->weight.scales = reinterpret_cast<const F16*>(four.scales.view.data);
        slot->weight.format = four.format;
        const double expected = divergence(plain, logits_of(spec, weights, *device, ids), spec.vocabulary);
        slot->weight = before;
        const double cost = sensitivity.cost(matrix, four);
        EXPECT_NEAR(cost, expected, 1e-3 * expected + 1e-6);
        EXPECT_EQ(sensitivity.cost(matrix, four), cost) << "the same again; the next one would tell if this one stayed";
      }
    }
  }
}

// The embedding is the head where it is tied: rounding it costs as much as it does a model that has it so.
TEST(SensitivityTest, ATiedHeadFollowsTheEmbedding) {
  const Checkpoint checkpoint{Folder(data_folder() / "ksa-variants" / "base")};
  ModelSpec spec = read_model_spec(checkpoint);
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  Random random(seed);
  const std::vector<std::int32_t> ids = random_ids(spec, 40, random);
  const auto device = open_backend("cpu", {.threads = 1, .exact_activations = true});
  Weights weights = load_weights(checkpoint, spec, *device);
  const std::vector<float> plain = logits_of(spec, weights, *device, ids);
  Quantizer quantizer(WeightFormat::q4, 1);
  const std::string name = "model.embed_tokens.weight";
  const StoredMatrix four = quantizer.quantize(
      name, find_matrix(checkpoint, name, weights.embedding.outputs, weights.embedding.inputs), WeightFormat::q4);
  for (WeightView* view : {&weights.embedding, &weights.head}) {
    if (view == &weights.head && !spec.tied_head) continue;
    view->data = four.values.view.data;
    view->scales = reinterpret_cast<const F16*>(four.scales.view.data);
    view->format = four.format;
  }
  const double expected = divergence(plain, logits_of(spec, weights, *device, ids), spec.vocabulary);
  EXPECT_NEAR(Sensitivity(checkpoint, spec, *device, {ids}).cost(name, four), expected, 1e-3 * expected + 1e-6);
}

}  // namespace
}  // namespace precis::test
