// What a device does of drawing a row's next id: all of it where the draw goes over all ids, otherwise it finds the few
// ids that the draw is among, so that no row of logits has to leave the device.
#pragma once

#include <cstdint>
#include <limits>

namespace precis {

// Of a row, beside the most likely id.
enum class DrawWants : std::int32_t { nothing, candidates, candidates_and_sum, id };

// An id's *scaled* logit is (logit - the row's largest) / temperature, in float. Its weight is e^scaled in double; 0
// where scaled is minus infinity, no number or less than `least`.
struct DrawOptions {
  DrawWants wants = DrawWants::nothing;
  float temperature = 1;
  float least = -std::numeric_limits<float>::infinity();
  double uniform = 0;  // in [0, 1): where on the sum of all weights, laid side by side in the order of ids, the draw is
};

struct Candidate {
  float logit;
  std::int32_t id;
};

// What was found; other than what was wanted is undefined.
struct RowDraw {
  static constexpr std::int64_t most_candidates = 256;

  double sum;                             // of all weights: to double's precision, in any order
  std::int32_t id;                        // drawn; the most likely one where no id has a weight
  std::int32_t count;                     // of candidates: a device may have found few, or none
  std::int32_t holds_all;                 // 1: the candidates are known to be all ids whose logits are numbers
  Candidate candidates[most_candidates];  // of the largest logits: largest first, ties by the smaller id
};

struct DrawArgs {
  const float* logits;         // [rows, vocabulary]
  const DrawOptions* options;  // [rows]
  std::int32_t* ids;           // [rows]: as MostLikelyArgs
  RowDraw* draws;              // [rows]
  std::int64_t rows;
  std::int64_t vocabulary;
};

}  // namespace precis
