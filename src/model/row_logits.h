// The logits of one row.
#pragma once

#include <cstdint>
#include <span>

#include "device/ops.h"

namespace precis {

// The most likely id is known, and what StepInputs::draws wanted; the logits stay on the device until somebody asks.
class RowLogits {
 public:
  // `logits`: [vocabulary] of the device, written before Ops::set_out() to `place`. `draw`: host memory.
  RowLogits(Ops& ops, std::size_t place, const float* logits, std::int64_t vocabulary, std::int32_t most_likely,
            const RowDraw* draw)
      : ops_(ops), place_(place), logits_(logits), vocabulary_(vocabulary), most_likely_(most_likely), draw_(draw) {}

  // As Ops::most_likely.
  std::int32_t most_likely() const { return most_likely_; }
  // None where nothing was wanted.
  const RowDraw* draw() const { return draw_; }

  // [vocabulary] in host memory, until another row's are asked for.
  std::span<const float> values() {
    if (values_.empty()) {
      const auto bytes = vocabulary_ * static_cast<std::int64_t>(sizeof(float));
      values_ = {static_cast<const float*>(ops_.on_host_since(place_, logits_, bytes)),
                 static_cast<std::size_t>(vocabulary_)};
    }
    return values_;
  }

 private:
  Ops& ops_;
  std::size_t place_;
  const float* logits_;
  std::int64_t vocabulary_;
  std::int32_t most_likely_;
  const RowDraw* draw_;
  std::span<const float> values_;
};

}  // namespace precis
