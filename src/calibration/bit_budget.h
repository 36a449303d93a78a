// Which matrices get more than four bits, within a budget of bits.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "model/quantizer.h"

namespace precis {

// Bits a weight of a quantized format, scales included: 8.5 (q8), 6.5, 5.5, 4.5 (q4).
double bits_of(WeightFormat format);

// Throws Error when `bits` a weight cannot be had of a model that is to be quantized to `weights`.
void check_bits(double bits, std::string_view weights);

// What a matrix costs at four bits.
struct MatrixCost {
  std::string name;
  std::int64_t weights = 0;
  double cost = 0;  // nats, of the model with this matrix alone at four bits
};

// Of what a matrix costs at four bits, what is left of it in a format, about.
double share_left(WeightFormat format);

// The format of each: all begin as q4, and the next better format goes to the matrix for which it saves most a bit, by
// share_left, as long as all together take at most `bits` a weight on average; where it does not fit the matrix stays
// as it is, and others behind it are still tried. Equal ones go by name. `bits` from bits_of(q4) on.
FormatChoice spend_bits(std::span<const MatrixCost> costs, double bits);

}  // namespace precis
