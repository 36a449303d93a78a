#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/largest.h"

namespace precis {
namespace {

// SplitMix64's output function: 64 well-mixed bits of a counter.
std::uint64_t mixed(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

// The order in which candidates are kept: likelier first, ties to the smaller id.
constexpr auto likelier = [](const auto& a, const auto& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
};

double sum_of_weights(std::span<const Candidate> candidates) {
  double sum = 0;
  for (const Candidate& candidate : candidates) sum += std::exp(static_cast<double>(candidate.logit));
  return sum;
}

void expect_range(const char* name, double value, bool inside, const char* expected) {
  if (!inside) fail("{}: {}, expected {}", name, value, expected);
}

}  // namespace

void validate(const SamplingOptions& options, std::int64_t vocabulary) {
  const auto finite = [](float value) { return std::isfinite(value); };
  expect_range("temperature", options.temperature, finite(options.temperature) && options.temperature >= 0,
               "a number of at least 0");
  expect_range("top_k", options.top_k, options.top_k >= 0, "an integer of at least 0");
  expect_range("top_p", options.top_p, options.top_p > 0 && options.top_p <= 1, "a number above 0, at most 1");
  expect_range("min_p", options.min_p, options.min_p >= 0 && options.min_p <= 1, "a number from 0 to 1");
  expect_range("repetition_penalty", options.repetition_penalty,
               finite(options.repetition_penalty) && options.repetition_penalty > 0, "a number above 0");
  expect_range("presence_penalty", options.presence_penalty, finite(options.presence_penalty), "a finite number");
  expect_range("frequency_penalty", options.frequency_penalty, finite(options.frequency_penalty), "a finite number");
  for (const auto& [id, bias] : options.logit_bias) {
    if (id < 0 || id >= vocabulary) fail("logit_bias: id {}, expected one from 0 to {}", id, vocabulary - 1);
    if (std::isnan(bias)) fail("logit_bias: {} for id {}, expected a number", bias, id);
  }
}

Sampler::Sampler(const SamplingOptions& options, std::span<const std::int32_t> prompt, std::uint64_t seed)
    : options_(options), seed_(mixed(seed)) {
  if (options.repetition_penalty == 1) return;
  for (const std::int32_t id : prompt) seen_.try_emplace(id, 0);
}

std::int32_t Sampler::take(std::int32_t id) {
  ++drawn_;
  if (changes_logits()) ++seen_[id];
  return id;
}

std::int32_t Sampler::sample(std::span<const float> logits) {
  return take(draw(changes_logits() ? penalised(logits) : logits));
}

bool Sampler::changes_logits() const {
  return options_.repetition_penalty != 1 || options_.presence_penalty != 0 || options_.frequency_penalty != 0 ||
         !options_.logit_bias.empty();
}

bool Sampler::only_lowers() const {
  return options_.repetition_penalty >= 1 && options_.presence_penalty >= 0 && options_.frequency_penalty >= 0 &&
         std::ranges::all_of(options_.logit_bias, [](const auto& bias) { return bias.second <= 0; });
}

float Sampler::penalised_seen(float logit, std::int32_t times) const {
  logit = logit > 0 ? logit / options_.repetition_penalty : logit * options_.repetition_penalty;
  return times > 0 ? logit - (options_.presence_penalty + options_.frequency_penalty * static_cast<float>(times))
                   : logit;
}

float Sampler::penalised(float logit, std::int32_t id) const {
  for (const auto& [of, bias] : options_.logit_bias) {
    if (of == id) logit += bias;
  }
  const auto seen = seen_.find(id);
  return seen == seen_.end() ? logit : penalised_seen(logit, seen->second);
}

std::span<const float> Sampler::penalised(std::span<const float> logits) {
  adjusted_.assign(logits.begin(), logits.end());
  const auto size = static_cast<std::int64_t>(adjusted_.size());
  for (const auto& [id, bias] : options_.logit_bias) adjusted_[static_cast<std::size_t>(id)] += bias;
  for (const auto& [id, times] : seen_) {
    if (id >= size) continue;  // a prompt may hold ids that are never predicted
    float& logit = adjusted_[static_cast<std::size_t>(id)];
    logit = penalised_seen(logit, times);
  }
  return adjusted_;
}

std::int32_t Sampler::draw(std::span<const float> logits) {
  const std::int32_t best_id = index_of_largest(logits);
  if (is_greedy()) return best_id;
  const float best = logits[static_cast<std::size_t>(best_id)];
  candidates_.clear();
  for (std::size_t id = 0; id < logits.size(); ++id) {
    // Scaled against the best: exp never overflows, and the best has weight 1.
    const float scaled = (logits[id] - best) / options_.temperature;
    if (scaled > -std::numeric_limits<float>::infinity())
      candidates_.push_back({scaled, static_cast<std::int32_t>(id)});
  }
  if (candidates_.empty()) return best_id;
  if (options_.top_k > 0) keep_top_k();
  if (options_.top_p < 1) keep_top_p(options_.top_p);
  return draw_candidate();
}

DrawOptions Sampler::draw_options(std::uint64_t later) const {
  if (takes_most_likely()) return {};
  DrawOptions wanted{.wants = DrawWants::candidates, .temperature = options_.temperature};
  if (const int count = most_candidates(); count > 0) {
    const bool can_tell = count < RowDraw::most_candidates && (!changes_logits() || only_lowers());
    return can_tell ? wanted : DrawOptions{};
  }
  if (changes_logits()) return {};
  if (options_.top_p < 1) {
    wanted.wants = DrawWants::candidates_and_sum;
    return wanted;
  }
  wanted.wants = DrawWants::id;
  if (options_.min_p > 0) wanted.least = std::log(options_.min_p);
  wanted.uniform = uniform(drawn_ + later);
  return wanted;
}

std::optional<std::int32_t> Sampler::sample(const RowDraw& draw) {
  const DrawWants wants = draw_options().wants;
  if (wants == DrawWants::nothing) return std::nullopt;
  if (wants == DrawWants::id) return take(draw.id);
  if (!take_candidates(draw)) return std::nullopt;
  return take(is_greedy() ? candidates_.front().id : draw_candidate());
}

bool Sampler::take_candidates(const RowDraw& draw) {
  constexpr float none = -std::numeric_limits<float>::infinity();
  candidates_.clear();
  for (const auto& [logit, id] : std::span(draw.candidates, static_cast<std::size_t>(draw.count))) {
    candidates_.push_back({changes_logits() ? penalised(logit, id) : logit, id});
  }
  if (candidates_.empty()) return false;
  const float best = std::ranges::max(candidates_, {}, &Candidate::logit).logit;
  if (!std::isfinite(best)) return false;
  const auto scaled = [&](float logit) { return is_greedy() ? logit - best : (logit - best) / options_.temperature; };
  for (Candidate& candidate : candidates_) candidate.logit = scaled(candidate.logit);
  std::erase_if(candidates_, [](const Candidate& candidate) { return !(candidate.logit > none); });
  // Not the order in which they came: penalties, and scaling may have made logits equal that were not.
  if (!std::ranges::is_sorted(candidates_, likelier)) std::ranges::sort(candidates_, likelier);
  // Ids that are not among the candidates are at most as likely as the last one was: penalties lower logits.
  const float edge = draw.holds_all != 0 ? none : scaled(draw.candidates[draw.count - 1].logit);
  const auto is_whole = [&] { return edge == none || candidates_.back().logit > edge; };
  double all = draw.sum;
  if (const int count = most_candidates(); count > 0) {
    candidates_.resize(std::min(candidates_.size(), static_cast<std::size_t>(count)));
    if (!is_whole()) return false;
    all = sum_of_weights(candidates_);
  }
  if (options_.top_p == 1) return true;
  double reached = 0;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    reached += std::exp(static_cast<double>(candidates_[i].logit));
    if (reached < static_cast<double>(options_.top_p) * all) continue;
    candidates_.resize(i + 1);
    return is_whole();
  }
  return edge == none;
}

std::int32_t Sampler::draw_candidate() {
  if (options_.min_p > 0) {
    const float least = std::log(options_.min_p);
    std::erase_if(candidates_, [&](const Candidate& candidate) { return candidate.logit < least; });
  }
  double left = uniform(drawn_) * sum_of_weights(candidates_);
  for (const Candidate& candidate : candidates_) {
    left -= std::exp(static_cast<double>(candidate.logit));
    if (left < 0) return candidate.id;
  }
  return candidates_.back().id;
}

void Sampler::keep_top_k() {
  const auto count = std::min(static_cast<std::size_t>(options_.top_k), candidates_.size());
  const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(count);
  std::partial_sort(candidates_.begin(), end, candidates_.end(), likelier);
  candidates_.erase(end, candidates_.end());
}

void Sampler::keep_top_p(float p) {
  const double all = sum_of_weights(candidates_);
  // Sorted piece by piece: a few hundred candidates nearly always hold the probability wanted.
  std::size_t sorted = 0;
  double reached = 0;
  while (sorted < candidates_.size()) {
    const std::size_t next = std::min(candidates_.size(), std::max<std::size_t>(256, sorted * 4));
    const auto from = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted);
    const auto to = candidates_.begin() + static_cast<std::ptrdiff_t>(next);
    std::partial_sort(from, to, candidates_.end(), likelier);
    for (; sorted < next; ++sorted) {
      reached += std::exp(static_cast<double>(candidates_[sorted].logit));
      if (reached < static_cast<double>(p) * all) continue;
      candidates_.resize(sorted + 1);
      return;
    }
  }
}

double Sampler::uniform(std::uint64_t drawn) const {
  return static_cast<double>(mixed(seed_ ^ (drawn * 0xd1342543de82ef95U)) >> 11) * 0x1p-53;
}

Logprobs logprobs_of(std::span<const float> logits, std::int32_t id, int count) {
  const float best = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit - best));
  const double normaliser = static_cast<double>(best) + std::log(sum);
  const auto logprob = [&](std::int32_t of) {
    return static_cast<float>(static_cast<double>(logits[static_cast<std::size_t>(of)]) - normaliser);
  };
  Logprobs result{.chosen = logprob(id), .top = {}};
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto end = order.begin() + std::min<std::ptrdiff_t>(count, static_cast<std::ptrdiff_t>(order.size()));
  std::partial_sort(order.begin(), end, order.end(), [&](std::int32_t a, std::int32_t b) {
    const float la = logits[static_cast<std::size_t>(a)];
    const float lb = logits[static_cast<std::size_t>(b)];
    return la != lb ? la > lb : a < b;
  });
  for (auto it = order.begin(); it != end; ++it) result.top.push_back({*it, logprob(*it)});
  return result;
}

}  // namespace precis
