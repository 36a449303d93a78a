// Which matrices keep eight bits where four are asked for, within a budget of bits.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "model/quantizer.h"

namespace precis {

// Bits a weight of a quantized format, scales included: 8.5 (q8), 5 (q4).
double bits_of(WeightFormat format);

// What a matrix costs at four bits.
struct MatrixCost {
  std::string name;
  std::int64_t weights = 0;
  double cost = 0;  // nats, of the model with this matrix alone at four bits
};

// The format of each: q8 from the one whose four bits cost most a weight to the one where they cost least, as long as
// all together take at most `bits` a weight on average; one that does not fit is left to q4, and smaller ones behind it
// are still tried. Equal ones go by name. `bits` from bits_of(q4) on.
FormatChoice spend_bits(std::span<const MatrixCost> costs, double bits);

}  // namespace precis
