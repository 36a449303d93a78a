#include "calibration/watched_device.h"

#include <algorithm>

namespace precis {

void WatchedOps::embed(const EmbedArgs& args) {
  over_ = false;
  ops_.to_device(args.x, watch_->entry, args.rows * args.table.inputs * std::int64_t{sizeof(float)});
}

void WatchedOps::rms_norm(const RmsNormArgs& args) {
  if (!over_) ops_.rms_norm(args);
}

const float* WatchedOps::product_rows(const float* x, std::int64_t rows, std::int64_t width, const InputNorm& norm) {
  if (norm.weight == nullptr) return x;
  const std::int64_t bytes = rows * width * std::int64_t{sizeof(float)};
  if (normed_.bytes() < bytes) normed_ = device_.allocate(bytes);
  ops_.rms_norm({x, norm.weight, normed_.as<float>(), rows, width, norm.epsilon});
  return normed_.as<float>();
}

bool WatchedOps::shown(const LinearArgs& args) {
  over_ = watch_->product && !watch_->product(args);
  return !over_;
}

void WatchedOps::linear(const LinearArgs& args) {
  if (over_ || args.rows == 0) return;
  if (args.norm.weight == end_) {
    over_ = true;
    if (watch_->end) watch_->end(args.x);
    return;
  }
  LinearArgs normed = args;
  normed.x = product_rows(args.x, args.rows, args.parts.front().weight.inputs, args.norm);
  normed.norm = {};
  if (shown(normed)) ops_.linear(normed);
}

void WatchedOps::gate_up(const GateUpArgs& args) {
  if (over_ || args.rows == 0) return;
  GateUpArgs normed = args;
  const std::int64_t inputs = args.gate.weight.inputs;
  normed.x = product_rows(args.x, args.rows, inputs, args.norm);
  normed.norm = {};
  const LinearPart parts[] = {{args.gate.weight, args.gate.bias}, {args.up.weight, args.up.bias}};
  if (shown({.x = normed.x, .x_stride = inputs, .rows = args.rows, .parts = parts})) ops_.gate_up(normed);
}

void WatchedOps::place(const PlaceArgs& args) {
  if (over_) return;
  over_ = watch_->place && !watch_->place(args);
  if (!over_) ops_.place(args);
}

void WatchedOps::attention(const AttentionArgs& args) {
  if (!over_) ops_.attention(args);
}

void WatchedOps::most_likely(const MostLikelyArgs& args) {
  if (!over_) ops_.most_likely(args);
}

void WatchedOps::draw(const DrawArgs& args) {
  if (!over_) ops_.draw(args);
}

void WatchedOps::gather(const GatherArgs& args) {
  if (!over_) ops_.gather(args);
}

}  // namespace precis
