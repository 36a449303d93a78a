// The residual stream of a text between two layers of a model, window by window.
#pragma once

#include <cstdint>
#include <vector>

#include "calibration/layer_runner.h"
#include "device/device.h"
#include "model/model_spec.h"
#include "model/weights.h"

namespace precis {

using TextWindows = std::vector<std::vector<std::int32_t>>;

// Holds `hidden` floats for every row of every window. Used by one thread at a time.
class ResidualRows {
 public:
  // Before the first layer. `windows`: ids of text, each window read on its own; at least one id in each. Spec and
  // device outlive it.
  ResidualRows(const ModelSpec& spec, const Weights& weights, Device& device, TextWindows windows);

  std::size_t windows() const { return tokens_.size(); }
  // Text tokens of a window; of the longest.
  std::int64_t tokens(std::size_t window) const { return tokens_[window]; }
  std::int64_t longest() const;

  // One window through a layer; `watch` sees all but the entry, which is this window's.
  void run(LayerRunner& runner, const LayerWeights& weights, std::size_t window, LayerWatch watch = {}) const;
  // The same, and the rows become what the layer gives. Not for the model's last layer.
  void advance(LayerRunner& runner, const LayerWeights& weights, std::size_t window, LayerWatch watch = {});

 private:
  Device& device_;
  std::vector<std::int64_t> tokens_;      // [windows]
  std::vector<std::vector<float>> rows_;  // [windows][rows, hidden]
};

}  // namespace precis
