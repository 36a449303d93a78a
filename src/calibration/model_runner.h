// Runs a whole model on windows of text, each a sequence of its own, and hands out logits.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "calibration/window_step.h"
#include "model/decoder.h"
#include "model/weights.h"

namespace precis {

class ModelRunner {
 public:
  // `tokens`: of a window, at most. All others outlive it; `weights` may be changed between two runs.
  ModelRunner(const ModelSpec& spec, const Weights& weights, Device& device, std::int64_t tokens);

  // Logits behind every `distance`th id of a window, in order.
  void run(std::span<const std::int32_t> ids, std::int64_t distance, const LogitsSink& sink);

 private:
  const ModelSpec& spec_;
  KvGeometry geometry_;
  PagePool pages_;
  Buffer pool_;
  Decoder decoder_;
};

}  // namespace precis
