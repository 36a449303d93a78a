#include "calibration/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "calibration/layer_products.h"

namespace precis {
namespace {

constexpr std::int64_t most_logits = std::int64_t{1} << 26;

std::int64_t ids_in(const TextWindows& windows) {
  std::int64_t ids = 0;
  for (const auto& window : windows) ids += static_cast<std::int64_t>(window.size());
  return ids;
}

std::int64_t longest_of(const TextWindows& windows) {
  std::size_t longest = 0;
  for (const auto& window : windows) longest = std::max(longest, window.size());
  return static_cast<std::int64_t>(longest);
}

// What to subtract from logits to make log-probabilities of them.
double log_sum(std::span<const float> logits) {
  const float most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += static_cast<double>(std::exp(logit - most));
  return static_cast<double>(most) + std::log(sum);
}

// `base`: log-probabilities.
double divergence(const float* base, std::span<const float> logits) {
  const double total = log_sum(logits);
  double sum = 0;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    const double gap = static_cast<double>(base[id]) - static_cast<double>(logits[id]) + total;
    sum += static_cast<double>(std::exp(base[id])) * gap;
  }
  return sum;
}

}  // namespace

Sensitivity::Sensitivity(const TensorSource& source, const ModelSpec& spec, Device& device, TextWindows windows)
    : spec_(spec),
      device_(device),
      windows_(std::move(windows)),
      weights_(load_weights(source, spec, device)),
      runner_(spec, weights_, device, longest_of(windows_)),
      distance_(
          std::max<std::int64_t>(1, ids_in(windows_) / std::max<std::int64_t>(1, most_logits / spec.vocabulary))) {
  slots_["model.embed_tokens.weight"] = &weights_.embedding;
  if (!spec.tied_head) slots_["lm_head.weight"] = &weights_.head;
  for (std::int64_t index = 0; index < spec.layers; ++index) {
    for (const LayerProduct& product : products_of(weights_.layers[static_cast<std::size_t>(index)], index)) {
      for (const auto& [name, matrix] : product) slots_[name] = &matrix->weight;
    }
  }
  // A window shorter than the distance would have no position.
  for (const auto& window : windows_) distance_ = std::min(distance_, static_cast<std::int64_t>(window.size()));
  for (const auto& window : windows_) {
    runner_.run(window, distance_, [&](std::size_t, RowLogits& row) {
      const std::span<const float> logits = row.values();
      const double total = log_sum(logits);
      for (const float logit : logits) base_.push_back(static_cast<float>(static_cast<double>(logit) - total));
    });
  }
}

double Sensitivity::cost(const std::string& name, const StoredMatrix& matrix) {
  const auto slot = slots_.find(name);
  PRECIS_CHECK(slot != slots_.end() && is_quantized(matrix.format), "{}", name);
  const WeightView plain = *slot->second;
  const Buffer values = device_.adopt(matrix.values);
  const Buffer scales = device_.adopt(matrix.scales);
  place(name, {.data = values.as<std::byte>(),
               .scales = scales.as<F16>(),
               .format = matrix.format,
               .outputs = plain.outputs,
               .inputs = plain.inputs});
  double sum = 0;
  const float* base = base_.data();
  for (const auto& window : windows_) {
    runner_.run(window, distance_, [&](std::size_t, RowLogits& row) {
      sum += divergence(base, row.values());
      base += spec_.vocabulary;
    });
  }
  place(name, plain);
  return std::max(0.0, sum / static_cast<double>((base - base_.data()) / spec_.vocabulary));
}

void Sensitivity::place(const std::string& name, const WeightView& view) {
  WeightView& slot = *slots_.at(name);
  slot = view;
  if (&slot != &weights_.embedding || !spec_.tied_head) return;
  weights_.head = view;
  weights_.head.outputs = spec_.vocabulary;
}

}  // namespace precis
