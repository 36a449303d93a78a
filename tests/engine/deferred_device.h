// A host device that runs behind its caller, as a GPU does: a call only takes note of an operation, and the operations
// run, in order, when somebody waits for them. Every operation can be made to fail, when it is called or when it runs.
#pragma once

#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "device/device.h"
#include "device/ops.h"
#include "engine/engine_thread.h"

namespace precis::test {

// What tests set; shared with the test, for the engine owns the device. Called on the engine's thread.
struct DeferredHooks {
  std::function<void(std::string_view operation)> called = [](std::string_view) {};
  std::function<void(std::string_view operation)> runs = [](std::string_view) {};
  bool asynchronous = true;         // false: everything runs when it is called
  bool selects = true;              // false: there is no selective attention
  std::int64_t launched_ahead = 0;  // steps that were called before the results of the one before had arrived
};

class DeferredOps final : public Ops {
 public:
  DeferredOps(Ops& ops, std::shared_ptr<DeferredHooks> hooks) : ops_(ops), hooks_(std::move(hooks)) {}

  void embed(const EmbedArgs& args) override {
    if (waited_for_ < sent_) ++hooks_->launched_ahead;
    defer("embed", [=, this] { ops_.embed(args); });
  }
  void rms_norm(const RmsNormArgs& args) override {
    defer("rms_norm", [=, this] { ops_.rms_norm(args); });
  }
  void linear(const LinearArgs& args) override {
    std::vector<LinearPart> parts(args.parts.begin(), args.parts.end());
    defer("linear", [=, this, parts = std::move(parts)] {
      LinearArgs again = args;
      again.parts = parts;
      ops_.linear(again);
    });
  }
  void gate_up(const GateUpArgs& args) override {
    defer("gate_up", [=, this] { ops_.gate_up(args); });
  }
  void rotation(const RotationArgs& args) override {
    defer("rotation", [=, this] { ops_.rotation(args); });
  }
  void place(const PlaceArgs& args) override {
    defer("place", [=, this] { ops_.place(args); });
  }
  void attention(const AttentionArgs& args) override {
    std::vector<RowRun> runs(args.runs.begin(), args.runs.end());
    std::vector<PickRun> picks(args.picks.begin(), args.picks.end());
    defer("attention", [=, this, runs = std::move(runs), picks = std::move(picks)] {
      AttentionArgs again = args;
      again.runs = runs;
      again.picks = picks;
      ops_.attention(again);
    });
  }
  void gather(const GatherArgs& args) override {
    defer("gather", [=, this] { ops_.gather(args); });
  }
  void most_likely(const MostLikelyArgs& args) override {
    defer("most_likely", [=, this] { ops_.most_likely(args); });
  }
  void draw(const DrawArgs& args) override {
    defer("draw", [=, this] { ops_.draw(args); });
  }
  void copy_pages(const CopyPagesArgs& args) override {
    std::vector<PageCopy> copies(args.copies.begin(), args.copies.end());
    defer("copy_pages", [=, this, copies = std::move(copies)] {
      CopyPagesArgs again = args;
      again.copies = copies;
      ops_.copy_pages(again);
    });
  }
  bool selects() const override { return hooks_->selects && ops_.selects(); }
  bool attends_in_place() const override { return ops_.attends_in_place(); }
  void keep_short(const KeepShortArgs& args) override {
    defer("keep_short", [=, this] { ops_.keep_short(args); });
  }
  void select(const SelectArgs& args) override { defer_runs("select", args, &Ops::select); }
  void pick(const PickArgs& args) override { defer_runs("pick", args, &Ops::pick); }
  void turn(const TurnArgs& args) override { defer_runs("turn", args, &Ops::turn); }
  void to_device(void* device, const void* host, std::int64_t bytes) override {
    const auto* from = static_cast<const std::byte*>(host);
    std::vector<std::byte> data(from, from + bytes);
    defer("to_device", [=, this, data = std::move(data)] { ops_.to_device(device, data.data(), bytes); });
  }
  const void* on_host(const void* device, std::int64_t bytes) override {
    hooks_->called("on_host");
    run_to(called_);
    return ops_.on_host(device, bytes);
  }

  bool runs_asynchronously() const override { return hooks_->asynchronous; }
  void set_out(std::size_t place, const void* device, std::int64_t bytes) override {
    defer("set_out", [=, this] {
      const auto* from = static_cast<const std::byte*>(ops_.on_host(device, bytes));
      places_[place].data.assign(from, from + bytes);
    });
    places_[place].after = called_;
    places_[place].number = ++sent_;
  }
  const void* arrived(std::size_t place) override {
    hooks_->called("arrived");
    run_to(places_[place].after);
    waited_for_ = std::max(waited_for_, places_[place].number);
    return places_[place].data.data();
  }
  const void* on_host_since(std::size_t place, const void* device, std::int64_t bytes) override {
    run_to(places_[place].after);
    return ops_.on_host(device, bytes);
  }

  void run_all() { run_to(called_); }

 private:
  struct Place {
    std::vector<std::byte> data;
    std::int64_t after = 0;   // operations that must have run
    std::int64_t number = 0;  // of all that set out
  };

  // Of arguments with runs in host memory.
  template <typename Args>
  void defer_runs(std::string_view name, const Args& args, void (Ops::*operation)(const Args&)) {
    std::vector<PickRun> runs(args.runs.begin(), args.runs.end());
    defer(name, [=, this, runs = std::move(runs)] {
      Args again = args;
      again.runs = runs;
      (ops_.*operation)(again);
    });
  }

  template <typename Operation>
  void defer(std::string_view name, Operation operation) {
    hooks_->called(name);
    ++called_;
    deferred_.push_back([name, this, operation = std::move(operation)] {
      hooks_->runs(name);
      operation();
    });
    if (!hooks_->asynchronous) run_to(called_);
  }
  // An operation that fails does not run again.
  void run_to(std::int64_t count) {
    while (ran_ < count) {
      const std::function<void()> next = std::move(deferred_.front());
      deferred_.pop_front();
      ++ran_;
      next();
    }
  }

  Ops& ops_;
  std::shared_ptr<DeferredHooks> hooks_;
  std::deque<std::function<void()>> deferred_;
  std::int64_t called_ = 0;
  std::int64_t ran_ = 0;
  std::int64_t sent_ = 0;
  std::int64_t waited_for_ = 0;
  std::array<Place, 2> places_;
};

class DeferredDevice final : public Device {
 public:
  // Over the device that these options open with a backend of the host, "cpu" or "reference".
  DeferredDevice(EngineOptions options, const std::string& backend, std::shared_ptr<DeferredHooks> hooks)
      : device_(open_host(std::move(options), backend)),
        hooks_(std::move(hooks)),
        ops_(std::make_shared<DeferredOps>(device_->ops(), hooks_)) {}

  std::string description() const override { return "deferred"; }
  // Operations that were called may still use it when it is dropped.
  Buffer allocate(std::int64_t bytes) override { return kept(device_->allocate(bytes)); }
  Buffer allocate_far(std::int64_t bytes, const std::filesystem::path& file) override {
    return kept(device_->allocate_far(bytes, file));
  }
  Buffer adopt(const HostTensor& tensor) override { return device_->adopt(tensor); }
  Ops& ops() override { return *ops_; }
  DeviceSpeed measure() override { return device_->measure(); }
  double measure_read() override { return device_->measure_read(); }

 private:
  static std::unique_ptr<Device> open_host(EngineOptions options, const std::string& backend) {
    options.backend = backend;
    return open_device(options);
  }
  Buffer kept(Buffer memory) {
    std::byte* at = memory.as();
    std::shared_ptr<void> kept(at, [memory, ops = ops_](void*) {
      try {
        ops->run_all();
      } catch (const std::exception&) {
        // As on a device that has failed: there is nobody to be told.
      }
    });
    return {std::move(kept), memory.bytes()};
  }

  std::shared_ptr<Device> device_;
  std::shared_ptr<DeferredHooks> hooks_;
  std::shared_ptr<DeferredOps> ops_;
};

}  // namespace precis::test
