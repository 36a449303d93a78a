// Everything that an open engine owns, and the thread that runs it.
//
// A request's way: submit() checks it and puts a job into the inbox; the thread hands it to the scheduler, computes
// steps, lets the job choose tokens from its logits, and ends it. Only the inbox, the event queues and the last memory
// report are shared between threads.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "device/device.h"
#include "engine/device_budget.h"
#include "engine/job.h"
#include "engine/model_files.h"
#include "memory/cost_plan.h"
#include "memory/kv_plan.h"
#include "model/decoder.h"
#include "precis/engine.h"
#include "runtime/scheduler.h"

namespace precis {

// Where other threads leave word for the engine's.
struct Inbox {
  std::mutex mutex;
  std::condition_variable changed;
  std::list<std::unique_ptr<Job>> submitted;
  bool woken = false;  // a job was cancelled
  bool clear_cache = false;
  bool stop = false;

  void wake();
};

// Opens what an engine computes on.
using OpenDevice = std::function<std::unique_ptr<Device>(const EngineOptions& options)>;
std::unique_ptr<Device> open_device(const EngineOptions& options);

class EngineThread {
 public:
  explicit EngineThread(const EngineOptions& options, const OpenDevice& open = open_device);
  ~EngineThread();

  std::vector<Stream> submit(std::vector<Request> requests);
  void clear_prefix_cache();
  MemoryReport memory() const;

  // Throws Error when the checkpoint has no tokenizer.
  const TextCodec& text() const;
  SamplingOptions default_sampling() const { return default_sampling_; }
  std::int64_t context() const { return job_context_->context; }
  const ModelSpec& spec() const { return spec_; }
  // Ids below this one may be in a prompt.
  std::int64_t prompt_vocabulary() const { return spec_.summary ? spec_.summary->first_id : spec_.embeddings; }
  const CostPlan& costs() const { return *costs_; }
  std::int64_t piece() const { return piece_; }
  const Device& device() const { return *device_; }

 private:
  // Bytes for the KV pool, as size_pool() takes them.
  std::int64_t kv_memory(const EngineOptions& options, const std::optional<DeviceMemory>& memory,
                         const DeviceNeeds& needs) const;
  void check(const Request& request) const;
  void run();
  // Takes what the inbox holds. Waits for something while there is nothing to do. False: stop.
  bool receive();
  void drop_cancelled();
  void step();
  // The device does not work any more: every request ends, and so do those that come.
  void end_all_failed();
  void finish_items(const std::vector<Job*>& jobs);
  void end(Job& job, EndReason reason, const std::string& error);
  void publish_memory();

  ModelFiles files_;
  ModelSpec spec_;
  std::optional<TextCodec> text_;  // none: the model has no tokenizer
  SamplingOptions default_sampling_;
  std::int64_t piece_;
  std::unique_ptr<Device> device_;
  Weights weights_;
  KvGeometry geometry_;
  KvPlan plan_;
  std::optional<CostPlan> costs_;
  std::optional<JobContext> job_context_;
  std::optional<PagePool> pages_;
  Buffer pool_;
  std::optional<Decoder> decoder_;
  std::optional<Scheduler> scheduler_;
  std::list<std::unique_ptr<Job>> jobs_;  // the thread's own
  std::string lost_;                      // the thread's own: why the device is lost; empty while it works
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  mutable std::mutex memory_mutex_;
  MemoryReport memory_;
  std::thread thread_;
};

}  // namespace precis
