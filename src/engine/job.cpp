#include "engine/job.h"

#include <algorithm>
#include <random>

namespace precis {
namespace {

std::uint64_t fresh_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

// FNV-1a, 64 bits.
std::uint64_t hash_of(std::span<const float> values) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const std::byte byte : std::as_bytes(values)) {
    hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3U;
  }
  return hash;
}

std::int64_t most_ids(const Request& request, std::int64_t context) {
  const auto prompt = static_cast<std::int64_t>(request.ids.size());
  return request.max_tokens < 0 ? context : std::min(context, prompt + std::min(request.max_tokens, context));
}

}  // namespace

Job::Job(const JobContext& context, Request request, SequenceKv kv, std::shared_ptr<EventQueue> queue)
    : context_(context),
      request_(std::move(request)),
      sequence_{.ids = request_.ids,
                .prompt = std::ssize(request_.ids) - request_.answered,
                .all_logits = request_.all_logits,
                .keeps_prefix = request_.keep_prefix,
                .kv = std::move(kv)},
      queue_(std::move(queue)),
      sampler_(request_.sampling, std::span(request_.ids).first(static_cast<std::size_t>(sequence_.prompt)),
               request_.sampling.seed ? *request_.sampling.seed : fresh_seed()),
      stops_(request_.stop),
      most_ids_(most_ids(request_, context.context)) {
  if (context.tokenizer != nullptr) {
    pieces_.emplace(*context.tokenizer, !request_.show_special, Utf8Stream::Start::continuation);
  }
  usage_.prompt_tokens = std::ssize(request_.ids);
  for (const std::int32_t id : std::span(request_.ids).subspan(static_cast<std::size_t>(sequence_.prompt))) {
    sampler_.take(id);
    if (!is_end_id(id) || request_.show_special) text_of(id);
  }
}

void Job::begin_step() {
  if (!first_step_) first_step_ = Clock::now();
}

DrawOptions Job::draw_options(std::int64_t index) const {
  const std::int64_t later = index + 1 - static_cast<std::int64_t>(sequence_.ids.size());
  if (later < 0 || at_limit(later)) return {};
  return sampler_.draw_options(static_cast<std::uint64_t>(later));
}

bool Job::goes_on_unseen() const {
  return sampler_.draws_on_device() && !at_limit(1) && !request_.on_logits && request_.top_logprobs < 0;
}

void Job::take_logits(std::int64_t index, RowLogits& logits) {
  if (request_.on_logits && index >= delivered_ && failure_.empty()) {
    try {
      request_.on_logits(index, logits.values());
    } catch (const std::exception& error) {
      failure_ = error.what();
    }
    delivered_ = index + 1;
  }
  if (!is_last(index)) return;
  if (!at_limit()) {
    chosen_ = choose(logits);
    ended_ = describe(*chosen_, logits);
  }
  if (request_.hash_logits && (!chosen_ || ended_)) usage_.logits_hash = hash_of(logits.values());
}

std::int32_t Job::choose(RowLogits& logits) {
  if (sampler_.takes_most_likely()) return sampler_.take(logits.most_likely());
  if (logits.draw() != nullptr) {
    if (const std::optional<std::int32_t> id = sampler_.sample(*logits.draw())) return *id;
  }
  return sampler_.sample(logits.values());
}

bool Job::describe(std::int32_t id, RowLogits& logits) {
  const bool ends = is_end_id(id);
  event_.emplace();
  event_->id = id;
  if (!ends || request_.show_special) event_->text = text_of(id);
  if (request_.top_logprobs >= 0) {
    Logprobs logprobs = logprobs_of(logits.values(), id, request_.top_logprobs);
    event_->logprob = logprobs.chosen;
    event_->top = std::move(logprobs.top);
  }
  reason_ = stops_.found() ? EndReason::stop_string : ends ? EndReason::end_token : EndReason::length;
  return stops_.found() || ends || at_limit(1);
}

void Job::report_progress() {
  if (!request_.on_progress || !failure_.empty()) return;
  const std::int64_t computed = std::min(sequence_.computed, sequence_.prompt);
  if (computed == reported_) return;
  reported_ = computed;
  try {
    request_.on_progress(computed);
  } catch (const std::exception& error) {
    failure_ = error.what();
  }
}

bool Job::finish_step() {
  report_progress();
  if (!failure_.empty()) {
    event_.reset();
    reason_ = EndReason::failed;
    return true;
  }
  if (!chosen_) {
    // Either the prompt is not complete yet, or no token was asked for.
    reason_ = EndReason::length;
    return sequence_.pending() == 0;
  }
  last_token_ = Clock::now();
  if (!first_token_) first_token_ = last_token_;
  sequence_.append(*std::exchange(chosen_, std::nullopt));
  ++usage_.answer_tokens;
  return ended_;
}

void Job::tell() {
  if (event_) queue_->push(*std::exchange(event_, std::nullopt));
}

void Job::end(EndReason reason, const std::string& error) {
  const auto seconds = [](Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
  };
  if (!chosen_) tell();  // what was chosen and not appended is of a step that has failed
  TokenEvent event;
  event.end = true;
  if (pieces_ && !stops_.found()) {
    event.text = stops_.push(pieces_->finish());
    event.text += stops_.finish();
  }
  event.reason = reason;
  event.error = failure_.empty() ? error : failure_;
  usage_.reused_tokens = sequence_.reused;
  usage_.preemptions = sequence_.preemptions;
  const Clock::time_point now = Clock::now();
  usage_.wait_seconds = seconds(submitted_, first_step_.value_or(now));
  if (first_step_) usage_.prompt_seconds = seconds(*first_step_, first_token_.value_or(now));
  if (first_token_) usage_.answer_seconds = seconds(*first_token_, last_token_);
  usage_.kv = context_.plan.report(sequence_.computed, &sequence_.kv);
  event.usage = usage_;
  queue_->push(std::move(event));
}

std::string Job::text_of(std::int32_t id) {
  return pieces_ ? stops_.push(pieces_->push(id)) : "";
}

bool Job::is_end_id(std::int32_t id) const {
  const auto has = [id](const std::vector<std::int32_t>& ids) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  return has(request_.stop_ids) || (!request_.ignore_end && has(context_.end_ids));
}

bool Job::at_limit(std::int64_t more) const {
  return static_cast<std::int64_t>(sequence_.ids.size()) + more >= most_ids_;
}

}  // namespace precis
