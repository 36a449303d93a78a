#include "backend/cpu/draw.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace precis::cpu {
namespace {

constexpr auto likelier = [](const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
};

// A heap whose front is the least likely one that is kept; few of a row's ids are likelier than it.
void find_candidates(std::span<const float> logits, RowDraw& draw) {
  const auto heap = std::begin(draw.candidates);
  std::ptrdiff_t count = 0;
  bool holds_all = true;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    const float logit = logits[id];
    if (count == RowDraw::most_candidates) {
      holds_all = holds_all && std::isnan(logit);
      if (!(logit > heap->logit)) continue;  // of equals the smaller id is kept
      std::pop_heap(heap, heap + count, likelier);
      --count;
    } else if (std::isnan(logit)) {
      continue;
    }
    heap[count++] = {logit, static_cast<std::int32_t>(id)};
    std::push_heap(heap, heap + count, likelier);
  }
  std::sort_heap(heap, heap + count, likelier);
  draw.count = static_cast<std::int32_t>(count);
  draw.holds_all = holds_all ? 1 : 0;
}

}  // namespace

void draw_row(std::span<const float> logits, const DrawOptions& options, std::int32_t best, RowDraw& draw) {
  if (options.wants == DrawWants::nothing) return;
  if (options.wants != DrawWants::id) find_candidates(logits, draw);
  if (options.wants == DrawWants::candidates) return;
  const float largest = logits[static_cast<std::size_t>(best)];
  const auto weight = [&](float logit) {
    const float scaled = (logit - largest) / options.temperature;
    return scaled >= options.least ? std::exp(static_cast<double>(scaled)) : 0;
  };
  draw.sum = 0;
  for (const float logit : logits) draw.sum += weight(logit);
  if (options.wants == DrawWants::candidates_and_sum) return;
  draw.id = best;
  double left = options.uniform * draw.sum;
  for (std::size_t id = 0; id < logits.size() && left >= 0; ++id) {
    const double own = weight(logits[id]);
    if (own > 0) draw.id = static_cast<std::int32_t>(id);
    left -= own;
  }
}

}  // namespace precis::cpu
