// How many of the keys with the largest scores are also those with the largest scores of short vectors.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "esa/esa_file.h"

namespace precis {

// Indices of the `top` largest scores (all where there are no more), ties to the smaller index; ascending.
std::vector<std::int64_t> top_indices(std::span<const double> scores, std::int64_t top);

struct RecallQueries {
  std::vector<float> rows;               // [queries, length]
  std::vector<std::int64_t> candidates;  // [queries]: so many keys, the first ones, are to choose from
};

// Of the `top` keys with the largest Q . k the share that is among the `top` with the largest q' . k', in the mean over
// queries that have more candidates than `top`; nothing where none has. The projections have `dim` rows or more. All
// sums are in double.
std::optional<double> top_recall(const RecallQueries& queries, std::span<const float> keys, const EsaLayer& layer,
                                 std::int64_t length, std::int64_t dim, std::int64_t top);

}  // namespace precis
