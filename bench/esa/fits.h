// Ways to get the projections, to be held against each other.
#pragma once

#include <cstdint>
#include <vector>

#include "esa/esa_file.h"
#include "esa/score_moments.h"

namespace precis::bench {

// Queries and keys of one layer, rows of `length` numbers, of the text that is fitted to.
struct FitRows {
  std::int64_t length = 0;
  std::vector<float> queries;
  std::vector<float> keys;
};

// Queries and keys, both on the directions in which the keys vary most: what is left when queries are not looked at.
EsaLayer fit_principal(const ScoreMoments& moments, std::int64_t dim);

struct AdamOptions {
  std::int64_t steps = 2000;
  std::int64_t batch = 256;  // queries and as many keys, drawn at random; all their pairs count
  double rate = 0.01;        // falls to zero along a cosine
  std::uint64_t seed = 1;
};

// The objective of the closed form, the mean squared error of the score with centred keys, by Adam from random
// matrices.
EsaLayer fit_adam(const FitRows& rows, std::int64_t dim, const AdamOptions& options);

}  // namespace precis::bench
