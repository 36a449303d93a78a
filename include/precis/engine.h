// The door: an engine that runs requests on a checkpoint, in a thread of its own.
//
// Everything here throws std::runtime_error with one line that names file, field or value and what was expected.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "precis/engine_options.h"
#include "precis/memory_report.h"
#include "precis/request.h"
#include "precis/session.h"
#include "precis/step_cost.h"
#include "precis/text_codec.h"
#include "precis/token_event.h"

namespace precis {

class EngineThread;
class EventQueue;

// The events of one request. Used by one thread at a time. Destroying it cancels the request.
class Stream {
 public:
  explicit Stream(std::shared_ptr<EventQueue> queue);
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;

  // Waits for the next event. After the `end` event there is none: do not call again.
  TokenEvent next();
  // The request ends with EndReason::cancelled at the engine's next step, unless it ended before. Any thread.
  void cancel();

 private:
  std::shared_ptr<EventQueue> queue_;
};

// Thread-safe. Destroying it ends running requests with EndReason::cancelled.
class Engine {
 public:
  // Loads the checkpoint and starts the thread. Throws when the model cannot be loaded or the memory cannot be had.
  explicit Engine(const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Queues a request. Throws when it could never run: no ids, ids outside the vocabulary, longer than the context (the
  // message gives both numbers), options outside their range.
  Stream submit(Request request);
  // Several that begin together: all are checked before any is queued, and they enter the same step as far as there is
  // room. Streams are in the order of the requests.
  std::vector<Stream> submit(std::vector<Request> requests);

  // Throws when the checkpoint has no tokenizer: then only ids can be given, and events carry no text.
  const TextCodec& text() const;

  // Sampling as the checkpoint's generation_config.json says (do_sample false or absent: greedy).
  SamplingOptions default_sampling() const;
  // Text tokens that a sequence may have.
  std::int64_t context() const;
  // Text tokens that the model was trained for.
  std::int64_t model_context() const;
  // Ids that can be predicted: the width of the logits.
  std::int64_t vocabulary() const;
  // Ids that a prompt may have: those below this one.
  std::int64_t prompt_vocabulary() const;
  // Who computes, in words: "cpu (avx512, 2 threads)".
  std::string device() const;
  MemoryReport memory() const;
  // What its device says, between two steps. None on a host.
  std::optional<DeviceUse> device_use() const;
  // What it costs to compute `tokens` tokens of a prompt that has `depth` tokens before them, in steps of
  // EngineOptions::piece, with the logits of the last.
  StepCost prompt_cost(std::int64_t depth, std::int64_t tokens) const;
  // What it costs when each of `sequences` sequences of `depth` tokens grows by `tokens` tokens, one a step.
  StepCost answer_cost(std::int64_t depth, std::int64_t tokens, std::int64_t sequences) const;
  // Drops what the prefix cache holds.
  void clear_prefix_cache();

  // Writes a session (docs/sessions.md): all `ids`, `note`, which is the caller's own, and of the longest beginning of
  // `ids` that the prefix cache has what it has. Other requests go on meanwhile, a step between two blocks. The file is
  // the old one or the new one at any moment; what stood at `file` before is replaced. Throws when it cannot be
  // written.
  SessionInfo save_session(const std::filesystem::path& file, std::span<const std::int32_t> ids, std::string_view note);
  // Puts what is in a session into the prefix cache, so that a request that begins with its ids computes the rest
  // alone. Throws, and nothing has changed, when the file is cut or damaged in any bit, when it was saved by an engine
  // whose model or options of numbers differ (the message says which), or when there is no room for it.
  LoadedSession load_session(const std::filesystem::path& file);

 private:
  std::unique_ptr<EngineThread> thread_;
};

}  // namespace precis
