// A device whose operations are watched while one layer runs: the layer is entered with given rows in place of the
// embedding's, every product is shown before it is computed, and nothing is computed behind the layer. So a decoder
// serves for calibration as it is.
#pragma once

#include <functional>

#include "device/device.h"
#include "device/ops.h"

namespace precis {

// What happens while a layer runs. All pointers are of the watched device, valid during the call.
struct LayerWatch {
  const float* entry = nullptr;  // [rows, hidden]: what embed() gives
  // Before products with the same rows, which are normed where they are to be. False: these and all that follows are
  // left out.
  std::function<bool(const LinearArgs& args)> product;
  // Before q and k are normed, blended and rotated. False: this and all that follows are left out.
  std::function<bool(const PlaceArgs& args)> place;
  // The rows that the layer gives: [rows, hidden].
  std::function<void(const float* x)> end;
};

class WatchedOps final : public Ops {
 public:
  // `end`: the weights of the norm that the layer's rows would go through on their way into the head. The device
  // outlives it.
  WatchedOps(Device& device, const float* end) : device_(device), ops_(device.ops()), end_(end) {}

  // `watch` must live as long as operations are called.
  void watch(const LayerWatch& watch) { watch_ = &watch; }

  void embed(const EmbedArgs& args) override;
  void rms_norm(const RmsNormArgs& args) override;
  void linear(const LinearArgs& args) override;
  void gate_up(const GateUpArgs& args) override;
  void rotation(const RotationArgs& args) override { ops_.rotation(args); }
  void place(const PlaceArgs& args) override;
  void attention(const AttentionArgs& args) override;
  void gather(const GatherArgs& args) override;
  void most_likely(const MostLikelyArgs& args) override;
  void draw(const DrawArgs& args) override;
  void copy_pages(const CopyPagesArgs& args) override { ops_.copy_pages(args); }
  void to_device(void* device, const void* host, std::int64_t bytes) override { ops_.to_device(device, host, bytes); }
  const void* on_host(const void* device, std::int64_t bytes) override { return ops_.on_host(device, bytes); }

 private:
  // The rows of a product, normed where they are to be.
  const float* product_rows(const float* x, std::int64_t rows, std::int64_t width, const InputNorm& norm);
  // Shows a product; false where nothing more is to be computed.
  bool shown(const LinearArgs& args);

  Device& device_;
  Ops& ops_;
  Buffer normed_;
  const float* end_;
  const LayerWatch* watch_ = nullptr;
  bool over_ = false;  // the rest of the layer is left out
};

class WatchedDevice final : public Device {
 public:
  // `device` outlives it. `end` as above.
  WatchedDevice(Device& device, const float* end) : device_(device), ops_(device, end) {}

  std::string description() const override { return device_.description(); }
  std::optional<DeviceMemory> memory() override { return device_.memory(); }
  Buffer allocate(std::int64_t bytes) override { return device_.allocate(bytes); }
  Buffer allocate_far(std::int64_t bytes, const std::filesystem::path& file) override {
    return device_.allocate_far(bytes, file);
  }
  void expect(std::int64_t bytes, std::int64_t tensors) override { device_.expect(bytes, tensors); }
  Buffer adopt(const HostTensor& tensor) override { return device_.adopt(tensor); }
  WatchedOps& ops() override { return ops_; }
  DeviceSpeed measure() override { return device_.measure(); }
  double measure_read() override { return device_.measure_read(); }

 private:
  Device& device_;
  WatchedOps ops_;
};

}  // namespace precis
