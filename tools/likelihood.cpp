#include "likelihood.h"

#include <algorithm>
#include <cmath>

#include "outcome.h"

namespace precis {

namespace {

std::size_t top(std::span<const float> logits) {
  return static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace

double log_total(std::span<const float> logits) {
  const double largest = logits[top(logits)];
  double total = 0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit) - largest);
  const double result = largest + std::log(total);
  if (!std::isfinite(result)) throw RunFailure("the model gives logits that are not finite numbers");
  return result;
}

Position compare(std::span<const float> base, std::span<const float> model, std::int32_t token) {
  const double base_total = log_total(base);
  const double total = log_total(model);
  double kl = 0;
  for (std::size_t id = 0; id < base.size(); ++id) {
    const double base_log = static_cast<double>(base[id]) - base_total;
    kl += std::exp(base_log) * (base_log - (static_cast<double>(model[id]) - total));
  }
  const auto at = static_cast<std::size_t>(token);
  // Rounding can make the divergence of equals a little less than nothing.
  return {.kl = std::max(kl, 0.0),
          .same_top = top(base) == top(model),
          .base_nll = base_total - static_cast<double>(base[at]),
          .nll = total - static_cast<double>(model[at])};
}

Comparison summarise(const std::vector<Position>& positions) {
  Comparison comparison;
  comparison.positions = static_cast<std::int64_t>(positions.size());
  std::vector<double> divergences;
  for (const Position& position : positions) {
    divergences.push_back(position.kl);
    comparison.mean_kl += position.kl;
    comparison.top_agreement += position.same_top ? 1 : 0;
    comparison.base_nll += position.base_nll;
    comparison.nll += position.nll;
  }
  const auto count = static_cast<double>(positions.size());
  for (double* sum : {&comparison.mean_kl, &comparison.top_agreement, &comparison.base_nll, &comparison.nll}) {
    *sum /= count;
  }
  std::sort(divergences.begin(), divergences.end());
  const std::size_t rank = (99 * divergences.size() + 99) / 100;  // nearest rank, counted from 1
  comparison.p99_kl = divergences[rank - 1];
  comparison.max_kl = divergences.back();
  return comparison;
}

}  // namespace precis
