// A cpu device that tests stand in front of: it says how much memory it has, and every operation can be made to fail.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "backend/factory.h"
#include "device/device.h"
#include "device/ops.h"

namespace precis::test {

// What tests set; shared with the test, for the engine owns the device. Called on the engine's thread.
struct DeviceHooks {
  std::optional<DeviceMemory> memory;
  // Decoded rows (RowRun) get other bits from attention than a prompt's.
  bool goes_by_decoded = false;
  std::function<void(std::string_view operation)> before = [](std::string_view) {};
};

class HookedOps final : public Ops {
 public:
  HookedOps(Ops& ops, std::shared_ptr<DeviceHooks> hooks) : ops_(ops), hooks_(std::move(hooks)) {}

  void embed(const EmbedArgs& args) override { before("embed"), ops_.embed(args); }
  void rms_norm(const RmsNormArgs& args) override { before("rms_norm"), ops_.rms_norm(args); }
  void linear(const LinearArgs& args) override { before("linear"), ops_.linear(args); }
  void gate_up(const GateUpArgs& args) override { before("gate_up"), ops_.gate_up(args); }
  void rotation(const RotationArgs& args) override { before("rotation"), ops_.rotation(args); }
  void place(const PlaceArgs& args) override { before("place"), ops_.place(args); }
  void attention(const AttentionArgs& args) override {
    before("attention"), ops_.attention(args);
    if (!hooks_->goes_by_decoded) return;
    const std::int64_t width = args.heads * args.kv.head_dim;
    for (const RowRun& run : args.runs) {
      if (!run.decoded) continue;
      float* out = args.out + run.first_row * width;
      std::for_each(out, out + run.rows * width, [](float& value) { value *= 1.01F; });
    }
  }
  void gather(const GatherArgs& args) override { before("gather"), ops_.gather(args); }
  void most_likely(const MostLikelyArgs& args) override { before("most_likely"), ops_.most_likely(args); }
  void draw(const DrawArgs& args) override { before("draw"), ops_.draw(args); }
  void copy_pages(const CopyPagesArgs& args) override { before("copy_pages"), ops_.copy_pages(args); }
  bool selects() const override { return ops_.selects(); }
  bool attends_in_place() const override { return ops_.attends_in_place(); }
  void keep_short(const KeepShortArgs& args) override { before("keep_short"), ops_.keep_short(args); }
  void select(const SelectArgs& args) override { before("select"), ops_.select(args); }
  void pick(const PickArgs& args) override { before("pick"), ops_.pick(args); }
  void turn(const TurnArgs& args) override { before("turn"), ops_.turn(args); }
  void to_device(void* device, const void* host, std::int64_t bytes) override {
    before("to_device"), ops_.to_device(device, host, bytes);
  }
  const void* on_host(const void* device, std::int64_t bytes) override {
    before("on_host");
    return ops_.on_host(device, bytes);
  }

 private:
  void before(std::string_view operation) { hooks_->before(operation); }

  Ops& ops_;
  std::shared_ptr<DeviceHooks> hooks_;
};

class HookedDevice final : public Device {
 public:
  explicit HookedDevice(std::shared_ptr<DeviceHooks> hooks)
      : device_(open_backend("cpu", {.threads = 2})), hooks_(std::move(hooks)), ops_(device_->ops(), hooks_) {}

  std::string description() const override { return "hooked"; }
  std::optional<DeviceMemory> memory() override { return hooks_->memory; }
  Buffer allocate(std::int64_t bytes) override { return device_->allocate(bytes); }
  Buffer allocate_far(std::int64_t bytes, const std::filesystem::path& file) override {
    return device_->allocate_far(bytes, file);
  }
  Buffer adopt(const HostTensor& tensor) override {
    hooks_->before("adopt");
    return device_->adopt(tensor);
  }
  Ops& ops() override { return ops_; }
  bool goes_by_decoded() const override { return hooks_->goes_by_decoded; }
  DeviceSpeed measure() override { return device_->measure(); }
  double measure_read() override { return device_->measure_read(); }

 private:
  std::unique_ptr<Device> device_;
  std::shared_ptr<DeviceHooks> hooks_;
  HookedOps ops_;
};

}  // namespace precis::test
