// The matrices of a layer by name, those that meet the same rows together.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/weights.h"

namespace precis {

// Matrices that meet the same rows, with the names that checkpoints have for them.
using LayerProduct = std::vector<std::pair<std::string, LinearWeights*>>;

// Those of layer `index` of a model in the order in which they are computed; matrices that the layer does not have are
// not among them. Points into `layer`.
std::vector<LayerProduct> products_of(LayerWeights& layer, std::int64_t index);

}  // namespace precis
