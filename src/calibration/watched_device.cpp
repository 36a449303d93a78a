#include "calibration/watched_device.h"

#include <algorithm>

namespace precis {

void WatchedOps::embed(const EmbedArgs& args) {
  over_ = false;
  ops_.to_device(args.x, watch_->entry, args.rows * args.table.inputs * std::int64_t{sizeof(float)});
}

void WatchedOps::rms_norm(const RmsNormArgs& args) {
  if (over_) return;
  if (watch_->norm) watch_->norm(args);
  over_ = args.weight == end_;
  if (!over_) ops_.rms_norm(args);
}

void WatchedOps::linear(const LinearArgs& args) {
  if (over_) return;
  over_ = watch_->product && !watch_->product(args);
  if (!over_) ops_.linear(args);
}

void WatchedOps::place(const PlaceArgs& args) {
  if (!over_) ops_.place(args);
}

void WatchedOps::attention(const AttentionArgs& args) {
  if (!over_) ops_.attention(args);
}

void WatchedOps::gate(const GateArgs& args) {
  if (!over_) ops_.gate(args);
}

void WatchedOps::gather(const GatherArgs& args) {
  if (!over_) ops_.gather(args);
}

}  // namespace precis
