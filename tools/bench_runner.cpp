#include "bench_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "outcome.h"
#include "reading_progress.h"

namespace precis {

namespace {

constexpr int most_attempts = 3;

// SplitMix64's mixing step.
std::uint64_t mixed(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

// Greedy, and never at an end. Only what is computed to stand before others stays in the cache.
Request request_of(std::vector<std::int32_t> ids, std::int64_t max_tokens, bool keep_prefix = false) {
  Request request;
  request.ids = std::move(ids);
  request.max_tokens = max_tokens;
  request.sampling.temperature = 0;
  request.ignore_end = true;
  request.keep_prefix = keep_prefix;
  return request;
}

bool reused_exactly(const std::vector<Usage>& usages, std::int64_t tokens) {
  return std::all_of(usages.begin(), usages.end(), [&](const Usage& usage) { return usage.reused_tokens == tokens; });
}

}  // namespace

void BenchRunner::warm_up(std::int64_t tokens) {
  const std::int64_t length = std::min(tokens, std::max<std::int64_t>(engine_.context() - 2, 1));
  std::vector<Request> one;
  one.push_back(request_of(ids(fresh_text_++, length), std::min<std::int64_t>(engine_.context() - length, 2)));
  run(std::move(one));
}

BenchRunner::Sample BenchRunner::measure(const BenchCase& test) {
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    fill(test, attempt > 0);
    if (const std::optional<Sample> measured = sample(test)) return *measured;
  }
  throw RunFailure(
      fmt::format("{}: the KV pool does not keep {} tokens of {} sequences", test.name(), test.depth, test.sequences));
}

std::optional<BenchRunner::Sample> BenchRunner::sample(const BenchCase& test) {
  const std::vector<Usage> usages = run(requests(test));
  // The pool had to give back what was filled.
  if (!reused_exactly(usages, test.depth)) return std::nullopt;
  double seconds = 0;
  Sample sample;
  for (const Usage& usage : usages) {
    // All begin in the same step: each one's time is the time of all.
    seconds = std::max(seconds, test.prompt ? usage.prompt_seconds : usage.answer_seconds);
    sample.kv_bytes += usage.kv.held_bytes;
    sample.kv_far_bytes += usage.kv.far_bytes;
  }
  sample.rate = static_cast<double>(test.tokens * test.sequences) / seconds;
  return sample;
}

BenchRunner::Stretch BenchRunner::read_on(std::int64_t from, std::int64_t to, Notes& notes) {
  if (from == 0) engine_.clear_prefix_cache();
  ReadingProgress progress(notes, engine_, to);
  std::vector<Request> one;
  one.push_back(request_of(ids(0, to), 0, true));
  one.back().on_progress = [&progress](std::int64_t computed) { progress.computed(computed); };
  const std::vector<Usage> usages = run(std::move(one));
  if (!reused_exactly(usages, from)) {
    throw RunFailure(fmt::format("{} tokens: {} of them are read already, but the prefix cache gave {}", to, from,
                                 usages[0].reused_tokens));
  }
  return {usages[0].prompt_seconds, usages[0].kv};
}

double BenchRunner::generate(const BenchCase& test) {
  const std::optional<Sample> measured = sample(test);
  if (!measured) throw RunFailure(fmt::format("{}: the prefix cache did not keep the context", test.name()));
  return measured->rate;
}

StepCost BenchRunner::token_cost(const BenchCase& test) const {
  // The first of an answer's tokens comes with the prompt; the step after it is the first that counts.
  const StepCost all = test.prompt ? engine_.prompt_cost(test.depth, test.tokens)
                                   : engine_.answer_cost(test.depth + 1, test.tokens, test.sequences);
  const auto tokens = static_cast<double>(test.tokens * test.sequences);
  return {all.bytes / tokens, all.flops / tokens};
}

std::vector<std::int32_t> BenchRunner::ids(std::uint64_t text, std::int64_t tokens) const {
  const auto count = static_cast<std::uint64_t>(engine_.prompt_vocabulary());
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < tokens; ++i) {
    ids.push_back(static_cast<std::int32_t>(mixed(mixed(text) + static_cast<std::uint64_t>(i)) % count));
  }
  return ids;
}

void BenchRunner::fill(const BenchCase& test, bool again) {
  if (test.depth == 0) {
    engine_.clear_prefix_cache();  // two texts may begin alike
    filled_.clear();
    return;
  }
  std::int64_t& filled = filled_[test.depth];
  if (again) filled = 0;
  // One after the other: each needs a place for its pages until it has ended.
  for (; filled < test.sequences; ++filled) {
    std::vector<Request> one;
    one.push_back(request_of(ids(static_cast<std::uint64_t>(filled), test.depth), 0, true));
    run(std::move(one));
  }
}

std::vector<Request> BenchRunner::requests(const BenchCase& test) {
  std::vector<Request> requests;
  if (test.prompt) {
    // What follows the depth is new each time.
    std::vector<std::int32_t> prompt = ids(0, test.depth);
    const std::vector<std::int32_t> fresh = ids(fresh_text_++, test.tokens);
    prompt.insert(prompt.end(), fresh.begin(), fresh.end());
    requests.push_back(request_of(std::move(prompt), 0));
    return requests;
  }
  for (std::int64_t sequence = 0; sequence < test.sequences; ++sequence) {
    const auto text = static_cast<std::uint64_t>(sequence);
    requests.push_back(request_of(ids(text, test.depth + 1), test.tokens + 1));
  }
  return requests;
}

std::vector<Usage> BenchRunner::run(std::vector<Request> requests) {
  const std::size_t count = requests.size();
  {
    const std::lock_guard lock(mutex_);
    if (cancelled_) throw RunFailure("cancelled");
    streams_ = engine_.submit(std::move(requests));
  }
  std::vector<Usage> usages;
  for (std::size_t index = 0; index < count; ++index) {
    // Streams are only added and removed by this thread; cancel() may be called on them at any time.
    TokenEvent event = streams_[index].next();
    while (!event.end) event = streams_[index].next();
    if (event.reason == EndReason::failed) throw RunFailure(event.error);
    if (event.reason == EndReason::cancelled) throw RunFailure("cancelled");
    if (event.usage.preemptions > 0) throw RunFailure("the KV pool is too small: a sequence was preempted");
    usages.push_back(event.usage);
  }
  return usages;
}

void BenchRunner::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  for (Stream& stream : streams_) stream.cancel();
}

bool BenchRunner::cancelled() {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

}  // namespace precis
