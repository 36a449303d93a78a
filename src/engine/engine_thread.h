// Everything that an open engine owns, and the thread that runs it.
//
// A request's way: submit() checks it and puts a job into the inbox; the thread hands it to the scheduler, computes
// steps, lets the job choose tokens from its logits, and ends it. Only the inbox, the event queues and the last memory
// report are shared between threads.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "device/device.h"
#include "device/device_lost.h"
#include "engine/engine_plan.h"
#include "engine/job.h"
#include "engine/model_files.h"
#include "memory/cost_plan.h"
#include "memory/kv_plan.h"
#include "model/decoder.h"
#include "precis/engine.h"
#include "runtime/scheduler.h"
#include "runtime/step_builder.h"
#include "session/session_file.h"

namespace precis {

// Where other threads leave word for the engine's.
struct Inbox {
  std::mutex mutex;
  std::condition_variable changed;
  std::list<std::unique_ptr<Job>> submitted;
  std::list<std::packaged_task<void()>> visits;  // see EngineThread::between_steps()
  bool woken = false;                            // a job was cancelled
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
  std::optional<DeviceUse> device_use();
  // See Engine.
  SessionInfo save_session(const std::filesystem::path& file, std::span<const std::int32_t> ids, std::string_view note);
  LoadedSession load_session(const std::filesystem::path& file);

  // Throws Error when the checkpoint has no tokenizer.
  const TextCodec& text() const;
  SamplingOptions default_sampling() const { return default_sampling_; }
  std::int64_t context() const { return job_context_->context; }
  const ModelSpec& spec() const { return spec_; }
  // Ids below this one may be in a prompt.
  std::int64_t prompt_vocabulary() const { return spec_.summary ? spec_.summary->first_id : spec_.embeddings; }
  const CostPlan& costs() const { return *costs_; }
  std::int64_t piece() const { return plan_.options().piece; }
  const Device& device() const { return *device_; }

 private:
  // A step from its launch until it is collected.
  struct Flight {
    std::vector<Job*> jobs;        // beside the step's items; none: withdrawn since
    std::vector<LogitRow> logits;  // beside the rows whose logits were wanted
    std::size_t place = 0;         // as Decoder::collect() takes it
    std::exception_ptr failure;    // of the launch
  };

  // engine_session.cpp: K and V between a pool and a session's blocks.
  class SessionKv;

  // Does `work` on the engine's thread, where no step is being chosen or collected, and waits for it; what it throws is
  // thrown here. For any other thread.
  void between_steps(std::function<void()> work);
  void receive_visits();
  void lose(const DeviceLost& error);
  // What this engine's numbers depend on. Reads a little of every tensor when it is first called.
  const Fingerprint& fingerprint();
  // Throws Error when a session of this head does not belong to this engine.
  void expect_belongs(const SessionHead& head);

  void allocate_pool();
  void check(const Request& request) const;
  void run();
  // Takes what the inbox holds. Waits for something while there is nothing to do. False: stop.
  bool receive();
  void drop_cancelled();
  // One step of those sequences that the scheduler chooses. On a device that runs asynchronously, what can be done
  // while it computes is done then:
  //   launch    the step, unless it was launched ahead
  //   tell      the tokens of the step before
  //   launch    the next step ahead, where no token of this one must be seen for it
  //   collect   this one's tokens
  // Elsewhere the tokens are told as soon as they are collected.
  void step();
  // Calls the operations of a step; what fails is thrown when it is collected.
  Flight launch(const std::vector<StepItem>& items);
  // The step after `step`, which is under way. None where it has to wait.
  std::optional<Flight> launch_ahead(const Flight& step);
  // Waits for a step, of which the next one may be in flight_: appends tokens, commits, ends requests.
  void collect(const Flight& done);
  // False when the step has failed, and its requests have ended.
  bool take_results(const Flight& done);
  // Sends events that wait for a time when the device computes.
  void tell();
  // The device does not work any more: every request ends, and so do those that come.
  void end_all_failed();
  // The job is part of no step any more.
  void withdraw(Job& job);
  void end(Job& job, EndReason reason, const std::string& error);
  void publish_memory();

  ModelFiles files_;
  SamplingOptions default_sampling_;
  std::unique_ptr<Device> device_;
  OpeningPlan opening_;
  const EnginePlan& plan_;
  const ModelSpec& spec_;
  const KvGeometry& geometry_;
  std::optional<TextCodec> text_;  // none: the model has no tokenizer
  Weights weights_;
  std::optional<CostPlan> costs_;
  std::once_flag hashed_weights_;
  Fingerprint fingerprint_;  // complete once the weights are hashed
  std::optional<JobContext> job_context_;
  std::optional<PagePool> pages_;
  Buffer pool_;        // near pages
  Buffer far_;         // of far pages K and V,
  Buffer short_keys_;  // and their k'; neither without far pages
  KvMemory kv_;        // where these are
  std::optional<Decoder> decoder_;
  std::optional<Scheduler> scheduler_;
  std::list<std::unique_ptr<Job>> jobs_;          // the thread's own
  std::list<std::packaged_task<void()>> visits_;  // the thread's own: to be answered before the next step
  std::optional<Flight> flight_;                  // the thread's own: the step that was launched ahead
  std::vector<Job*> untold_;                      // the thread's own: whose last tokens' events were not sent yet
  std::string lost_;                              // the thread's own: why the device is lost; empty while it works
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  mutable std::mutex memory_mutex_;
  MemoryReport memory_;
  std::thread thread_;
};

}  // namespace precis
