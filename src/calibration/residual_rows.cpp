#include "calibration/residual_rows.h"

#include <algorithm>

namespace precis {
namespace {

constexpr std::int64_t float_bytes = sizeof(float);

}  // namespace

ResidualRows::ResidualRows(const ModelSpec& spec, const Weights& weights, Device& device, TextWindows windows)
    : device_(device) {
  for (const auto& window : windows) tokens_.push_back(static_cast<std::int64_t>(window.size()));
  const std::int64_t most = window_rows(spec, longest());
  const Buffer ids = device_.allocate(most * std::int64_t{sizeof(std::int32_t)});
  const Buffer x = device_.allocate(most * spec.hidden * float_bytes);
  Ops& ops = device_.ops();
  for (const std::vector<std::int32_t>& window : windows) {
    const std::vector<std::int32_t> all = window_ids(spec, window);
    const auto count = static_cast<std::int64_t>(all.size());
    ops.to_device(ids.as<void>(), all.data(), count * std::int64_t{sizeof(std::int32_t)});
    ops.embed({ids.as<std::int32_t>(), weights.embedding, x.as<float>(), count});
    const auto* first = static_cast<const float*>(ops.on_host(x.as<void>(), count * spec.hidden * float_bytes));
    rows_.emplace_back(first, first + count * spec.hidden);
  }
}

std::int64_t ResidualRows::longest() const {
  return *std::max_element(tokens_.begin(), tokens_.end());
}

void ResidualRows::run(LayerRunner& runner, const LayerWeights& weights, std::size_t window, LayerWatch watch) const {
  watch.entry = rows_[window].data();
  runner.run(weights, tokens_[window], watch);
}

void ResidualRows::advance(LayerRunner& runner, const LayerWeights& weights, std::size_t window, LayerWatch watch) {
  std::vector<float>& rows = rows_[window];
  watch.end = [&](const float* x) {
    const auto bytes = static_cast<std::int64_t>(rows.size()) * float_bytes;
    const auto* given = static_cast<const float*>(device_.ops().on_host(x, bytes));
    std::copy(given, given + rows.size(), rows.begin());
  };
  run(runner, weights, window, std::move(watch));
}

}  // namespace precis
