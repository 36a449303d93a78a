#include "calibration/score_pass.h"

#include <cmath>

#include "attention/visible_set.h"
#include "base/error.h"

namespace precis {
namespace {

// y += a head of q or k, normed where there are weights. As Ops::place does it.
void add_normed(const float* x, const float* weight, float epsilon, float scale, std::int64_t size, float* y) {
  float factor = scale;
  if (weight != nullptr) {
    double squares = 0;
    for (std::int64_t i = 0; i < size; ++i) squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    const double mean = squares / static_cast<double>(size);
    factor *= static_cast<float>(1 / std::sqrt(mean + static_cast<double>(epsilon)));
  }
  for (std::int64_t i = 0; i < size; ++i) y[i] += x[i] * factor * (weight == nullptr ? 1 : weight[i]);
}

std::vector<float> host_copy(Ops& ops, const float* values, std::int64_t count) {
  if (values == nullptr || count == 0) return {};
  const auto* first = static_cast<const float*>(ops.on_host(values, count * static_cast<std::int64_t>(sizeof(float))));
  return {first, first + count};
}

const float* or_none(const std::vector<float>& values) {
  return values.empty() ? nullptr : values.data();
}

}  // namespace

ScoreRows score_rows(Ops& ops, const PlaceArgs& args, std::int64_t first_key, std::int64_t keys) {
  const std::int64_t head_dim = args.kv.head_dim;
  const std::int64_t kv_heads = args.kv.kv_heads;
  const std::int64_t length = kv_heads * head_dim;
  const std::int64_t width = args.heads * head_dim + 2 * length;
  const std::int64_t texts = args.first_summary;
  const std::int64_t group = args.heads / kv_heads;
  const std::vector<float> q_norm = host_copy(ops, args.q_norm, head_dim);
  const std::vector<float> k_norm = host_copy(ops, args.k_norm, head_dim);
  const std::vector<float> own = host_copy(ops, args.own, args.own == nullptr ? 0 : (args.rows - texts) * width);
  const auto* qkv =
      static_cast<const float*>(ops.on_host(args.qkv, args.rows * width * static_cast<std::int64_t>(sizeof(float))));
  ScoreRows rows{std::vector<float>(static_cast<std::size_t>(texts * length)),
                 std::vector<float>(static_cast<std::size_t>(keys * length))};
  for (std::int64_t row = 0; row < texts; ++row) {
    for (std::int64_t head = 0; head < args.heads; ++head) {
      add_normed(qkv + row * width + head * head_dim, or_none(q_norm), args.epsilon, 1, head_dim,
                 rows.queries.data() + row * length + head / group * head_dim);
    }
  }
  for (std::int64_t key = 0; key < keys; ++key) {
    const std::int64_t row = first_key + key;
    const bool blended = !own.empty() && row >= texts;
    for (std::int64_t head = 0; head < kv_heads; ++head) {
      const std::int64_t at = (args.heads + head) * head_dim;
      float* y = rows.keys.data() + key * length + head * head_dim;
      add_normed(qkv + row * width + at, or_none(k_norm), args.epsilon, blended ? 1 - args.mix : 1, head_dim, y);
      if (!blended) continue;
      add_normed(own.data() + (row - texts) * width + at, or_none(k_norm), args.epsilon, args.mix, head_dim, y);
    }
  }
  return rows;
}

ScorePass::ScorePass(const TensorSource& source, const ModelSpec& spec, Device& device, TextWindows windows)
    : spec_(spec),
      device_(device),
      weights_(load_weights(source, spec, device)),
      rows_(spec, weights_, device, std::move(windows)) {}

bool ScorePass::next_layer(const std::function<bool(std::size_t window, const ScoreRows& rows)>& take) {
  PRECIS_CHECK(layer_ < spec_.layers);
  LayerRunner runner(spec_, layer_, device_, rows_.longest());
  const LayerWeights& weights = weights_.layers[static_cast<std::size_t>(layer_)];
  const bool last = ++layer_ == spec_.layers;
  const LayerRule& rule =
      spec_.rules[static_cast<std::size_t>(spec_.rule_of_layer[static_cast<std::size_t>(layer_ - 1)])];
  for (std::size_t window = 0; window < rows_.windows(); ++window) {
    ScoreRows rows;
    LayerWatch watch;
    watch.place = [&](const PlaceArgs& args) {
      const bool summaries = keeps_summaries(rule);
      rows = score_rows(device_.ops(), args, summaries ? args.first_summary : 0,
                        summaries ? args.rows - args.first_summary : args.first_summary);
      return !last;
    };
    if (last) {
      rows_.run(runner, weights, window, std::move(watch));
    } else {
      rows_.advance(runner, weights, window, std::move(watch));
    }
    if (!take(window, rows)) return false;
  }
  return true;
}

}  // namespace precis
