#pragma once

#include "device/ops.h"

namespace precis::reference {

class ReferenceOps final : public Ops {
 public:
  void embed(const EmbedArgs& args) override;
  void rms_norm(const RmsNormArgs& args) override;
  void linear(const LinearArgs& args) override;
  void gate_up(const GateUpArgs& args) override;
  void rotation(const RotationArgs& args) override;
  void place(const PlaceArgs& args) override;
  void attention(const AttentionArgs& args) override;
  void gather(const GatherArgs& args) override;
  void most_likely(const MostLikelyArgs& args) override;
  void draw(const DrawArgs& args) override;
  void copy_pages(const CopyPagesArgs& args) override;
  bool selects() const override { return true; }
  void keep_short(const KeepShortArgs& args) override;
  void select(const SelectArgs& args) override;
  void pick(const PickArgs& args) override;
  void turn(const TurnArgs& args) override;
  void to_device(void* device, const void* host, std::int64_t bytes) override;
  const void* on_host(const void* device, std::int64_t bytes) override;
};

}  // namespace precis::reference
