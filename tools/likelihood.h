// How likely a model holds what follows, and how far two models' expectations are apart. Logarithms are natural, sums
// double.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace precis {

// log(sum(exp(logits))). Throws RunFailure when a logit is not a finite number.
double log_total(std::span<const float> logits);

// Of the position before a known token.
struct Position {
  double kl = 0;         // KL(base || model), nats
  bool same_top = true;  // both hold the same token to be the most likely (of equals, the first)
  double base_nll = 0;   // -log p(token)
  double nll = 0;
};
Position compare(std::span<const float> base, std::span<const float> model, std::int32_t token);

struct Comparison {
  std::int64_t positions = 0;
  double mean_kl = 0;
  double p99_kl = 0;  // 99 of 100 positions have at most this
  double max_kl = 0;
  double top_agreement = 0;  // share of positions
  double base_nll = 0;       // mean; the perplexity is its exponential
  double nll = 0;
};
// At least one position.
Comparison summarise(const std::vector<Position>& positions);

}  // namespace precis
