// Chooses the next token of one sequence: from its logits, or from what a device has found out about them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "device/draw_args.h"
#include "precis/request.h"
#include "precis/token_event.h"

namespace precis {

// Throws Error that names the option when a value is outside its range.
void validate(const SamplingOptions& options, std::int64_t vocabulary);

// Deterministic: the draw for the n-th token of the answer depends on seed and n alone, so that a sequence that was
// preempted or batched, or an answer that was interrupted, goes on as it would have.
class Sampler {
 public:
  // `prompt`: ids that count as seen for the repetition penalty.
  Sampler(const SamplingOptions& options, std::span<const std::int32_t> prompt, std::uint64_t seed);

  // Whether the next token is the most likely one (the first of several), whatever the logits are. take() says which.
  bool takes_most_likely() const { return is_greedy() && !changes_logits(); }
  std::int32_t take(std::int32_t id);

  // What a device is to find for the next token; for the `later`th after it, where draws_on_device(). Nothing where
  // only all logits will do.
  DrawOptions draw_options(std::uint64_t later = 0) const;
  // Whether every token is what a device finds, whatever the logits and the tokens before are: the most likely id, or
  // the one that is drawn.
  bool draws_on_device() const { return takes_most_likely() || draw_options().wants == DrawWants::id; }
  // The token that sample() would choose from the row that `draw` was found in; none, and nothing has changed, where
  // `draw` is not enough to tell.
  std::optional<std::int32_t> sample(const RowDraw& draw);

  // The next token. Ties go to the smaller id. The token counts as part of the answer from now on.
  std::int32_t sample(std::span<const float> logits);

 private:
  std::int32_t draw(std::span<const float> logits);
  // Takes over a device's candidates, penalised, as far as top-k and top-p leave them. False where ids that are not
  // among them may belong there.
  bool take_candidates(const RowDraw& draw);
  // Of what top-k and top-p have left: min-p and the draw.
  std::int32_t draw_candidate();
  bool is_greedy() const { return options_.temperature == 0 || options_.top_k == 1; }
  bool changes_logits() const;
  // Whether bias and penalties make no logit larger.
  bool only_lowers() const;
  // What one logit becomes: of any id; of one that was seen, `times` in the answer.
  float penalised(float logit, std::int32_t id) const;
  float penalised_seen(float logit, std::int32_t times) const;
  // Of top-k; 0: all.
  int most_candidates() const { return is_greedy() ? 1 : options_.top_k; }
  // Bias and penalties applied to a copy.
  std::span<const float> penalised(std::span<const float> logits);
  void keep_top_k();
  void keep_top_p(float p);
  // For the token after `drawn` of the answer.
  double uniform(std::uint64_t drawn) const;

  SamplingOptions options_;
  std::uint64_t seed_;
  std::uint64_t drawn_ = 0;                              // tokens of the answer so far
  std::unordered_map<std::int32_t, std::int32_t> seen_;  // id -> times in the answer; prompt ids from 0
  std::vector<float> adjusted_;
  std::vector<Candidate> candidates_;  // logits scaled, see DrawOptions
};

// The log probability of `id` and of the `count` most likely ids, from the logits as the model gave them.
struct Logprobs {
  float chosen;
  std::vector<TokenLogprob> top;  // most likely first
};
Logprobs logprobs_of(std::span<const float> logits, std::int32_t id, int count);

}  // namespace precis
