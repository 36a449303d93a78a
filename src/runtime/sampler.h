// Chooses the next token of one sequence from its logits.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "precis/request.h"
#include "precis/token_event.h"

namespace precis {

// Throws Error that names the option when a value is outside its range.
void validate(const SamplingOptions& options, std::int64_t vocabulary);

// Deterministic: the draw for the n-th token of the answer depends on seed and n alone, so that a sequence that was
// preempted or batched goes on as it would have alone.
class Sampler {
 public:
  // `prompt`: ids that count as seen for the repetition penalty.
  Sampler(const SamplingOptions& options, std::span<const std::int32_t> prompt, std::uint64_t seed);

  // Whether the next token is the most likely one (the first of several), whatever the logits are. take() says which.
  bool takes_most_likely() const { return is_greedy() && !changes_logits(); }
  std::int32_t take(std::int32_t most_likely);

  // The next token. Ties go to the smaller id. The token counts as part of the answer from now on.
  std::int32_t sample(std::span<const float> logits);

 private:
  struct Candidate {
    float logit;
    std::int32_t id;
  };

  std::int32_t draw(std::span<const float> logits);
  bool is_greedy() const { return options_.temperature == 0 || options_.top_k == 1; }
  bool changes_logits() const;
  // Bias and penalties applied to a copy.
  std::span<const float> penalised(std::span<const float> logits);
  void keep_top_k();
  void keep_top_p(float p);
  double uniform() const;

  SamplingOptions options_;
  std::uint64_t seed_;
  std::uint64_t drawn_ = 0;                              // tokens of the answer so far
  std::unordered_map<std::int32_t, std::int32_t> seen_;  // id -> times in the answer; prompt ids from 0
  std::vector<float> adjusted_;
  std::vector<Candidate> candidates_;
};

// The log probability of `id` and of the `count` most likely ids, from the logits as the model gave them.
struct Logprobs {
  float chosen;
  std::vector<TokenLogprob> top;  // most likely first
};
Logprobs logprobs_of(std::span<const float> logits, std::int32_t id, int count);

}  // namespace precis
