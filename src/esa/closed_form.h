// The projections that keep scores best: of all pairs of linear maps to `dim` numbers, those whose dot product has the
// smallest mean squared distance from the score (docs/esa.md).
#pragma once

#include <Eigen/Core>
#include <cstdint>

#include "esa/esa_file.h"

namespace precis {

// `of_queries`, `of_keys`: second moments, as ScoreMoments has them. `dim` is less than their size. Where moments lack
// rank, so may the projections: their last rows are zeros then. Throws Error when moments are no finite numbers.
EsaLayer fit_scores(const Eigen::MatrixXd& of_queries, const Eigen::MatrixXd& of_keys, std::int64_t dim);

// What is needed where nothing is to be left out.
EsaLayer identity_layer(std::int64_t length);

}  // namespace precis
