// A request under way: its sequence, and everything between its logits and its events.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "engine/event_queue.h"
#include "memory/kv_plan.h"
#include "model/row_logits.h"
#include "precis/request.h"
#include "runtime/sampler.h"
#include "runtime/sequence.h"
#include "runtime/stop_matcher.h"
#include "text/utf8_stream.h"

namespace precis {

// What all jobs of an engine have in common.
struct JobContext {
  const Tokenizer* tokenizer;  // none: events carry ids and no text
  const KvPlan& plan;
  std::vector<std::int32_t> end_ids;  // of the model
  std::int64_t context = 0;           // text tokens of a sequence, at most
};

// Used by the engine's thread alone, after it was made by the submitting thread. Sends exactly one `end` event.
class Job {
 public:
  Job(const JobContext& context, Request request, SequenceKv kv, std::shared_ptr<EventQueue> queue);

  Sequence& sequence() { return sequence_; }
  bool cancelled() const { return queue_->cancelled(); }

  // A step is about to begin: the first one ends the wait.
  void begin_step();
  // What the step is to find out about the logits that follow ids[index], or the id that is not seen yet.
  DrawOptions draw_options(std::int64_t index) const;
  // Whether nobody but the device is needed for the id that the step under way draws and for the one after it: the step
  // after it can be launched before the id is seen, and is in vain only if that ends the answer.
  bool goes_on_unseen() const;
  // Logits that follow ids[index], once they are there. Chooses the next token when the step completes the sequence.
  // What the caller's on_logits throws ends the job at the end of the step.
  void take_logits(std::int64_t index, RowLogits& logits);
  // After all logits of the step were taken and the step was committed: reports progress and appends the chosen token.
  // True when the request has ended, for the reason in reason().
  bool finish_step();
  EndReason reason() const { return reason_; }
  // Sends the event of the token that was appended last, if it was not sent yet.
  void tell();

  // Sends the `end` event. The sequence's pages must still be there, and no others.
  void end(EndReason reason, const std::string& error);

 private:
  using Clock = std::chrono::steady_clock;

  std::int32_t choose(RowLogits& logits);
  // Calls the caller's on_progress when the step has computed a piece of the prompt. What that throws ends the job.
  void report_progress();
  // Fills in event_ and reason_ for the chosen token. True when it ends the answer.
  bool describe(std::int32_t id, RowLogits& logits);
  bool is_last(std::int64_t index) const { return index + 1 == static_cast<std::int64_t>(sequence_.ids.size()); }
  // The text that a token completes and that no stop text can begin in.
  std::string text_of(std::int32_t id);
  bool is_end_id(std::int32_t id) const;
  // Whether the answer is as long as it may be, `more` tokens from now.
  bool at_limit(std::int64_t more = 0) const;

  const JobContext& context_;
  Request request_;
  Sequence sequence_;
  std::shared_ptr<EventQueue> queue_;
  Sampler sampler_;
  std::optional<Utf8Stream> pieces_;
  StopMatcher stops_;
  std::int64_t most_ids_;       // prompt and answer, at most
  std::int64_t delivered_ = 0;  // logits handed out so far, as an index into ids
  std::int64_t reported_ = 0;   // tokens of the prompt that on_progress heard of last
  std::optional<std::int32_t> chosen_;
  std::optional<TokenEvent> event_;  // of the chosen token; from finish_step() on of the last one, until it is sent
  bool ended_ = false;               // the chosen token ends the answer
  std::string failure_;
  EndReason reason_ = EndReason::length;
  Usage usage_;
  Clock::time_point submitted_ = Clock::now();
  std::optional<Clock::time_point> first_step_;
  std::optional<Clock::time_point> first_token_;
  Clock::time_point last_token_;
};

}  // namespace precis
