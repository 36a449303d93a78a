// Runs one layer of a model on windows of text, each a sequence of its own: rows of the residual stream in, products
// watched on the way.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "calibration/watched_device.h"
#include "calibration/window_step.h"
#include "kv/kv_geometry.h"
#include "kv/page_pool.h"
#include "model/decoder.h"
#include "model/model_spec.h"
#include "model/weights.h"

namespace precis {

// The ids of a window's rows, rows of the embedding table: those of its text, then of its summary tokens.
std::vector<std::int32_t> window_ids(const ModelSpec& spec, std::span<const std::int32_t> text);

class LayerRunner {
 public:
  // `tokens`: text tokens of a window, at most. Spec and device outlive it.
  LayerRunner(const ModelSpec& spec, std::int64_t layer, Device& device, std::int64_t tokens);

  // One window of so many text tokens through a layer with `weights`. Where the layer is the model's last, the rows
  // that are norm's behind it and the products past attention are of text alone, as nothing follows of the others.
  void run(const LayerWeights& weights, std::int64_t tokens, const LayerWatch& watch);

 private:
  ModelSpec spec_;  // of one layer
  bool last_;
  float end_ = 1;  // in place of the weights of the norm behind the layer, to know it by
  WatchedDevice device_;
  KvGeometry geometry_;
  PagePool pages_;
  Buffer pool_;
  Weights weights_;
  std::unique_ptr<Decoder> decoder_;
};

}  // namespace precis
