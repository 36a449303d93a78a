#include "calibration/bit_budget.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "base/error.h"

namespace precis {

double bits_of(WeightFormat format) {
  PRECIS_CHECK(is_quantized(format));
  const std::int64_t bytes = value_row_bytes(format, quantized_block) + scale_row_bytes(format, quantized_block);
  return 8 * static_cast<double>(bytes) / static_cast<double>(quantized_block);
}

FormatChoice spend_bits(std::span<const MatrixCost> costs, double bits) {
  const double four = bits_of(WeightFormat::q4);
  PRECIS_CHECK(bits >= four);
  std::int64_t weights = 0;
  for (const MatrixCost& matrix : costs) weights += matrix.weights;
  const double share = std::min(1.0, (bits - four) / (bits_of(WeightFormat::q8) - four));
  // Half a weight more: what bits were divided from comes out again.
  double left = share * static_cast<double>(weights) + 0.5;
  std::vector<MatrixCost> order(costs.begin(), costs.end());
  std::sort(order.begin(), order.end(), [](const MatrixCost& a, const MatrixCost& b) {
    return std::tuple(-a.cost / static_cast<double>(a.weights), std::string_view(a.name)) <
           std::tuple(-b.cost / static_cast<double>(b.weights), std::string_view(b.name));
  });
  FormatChoice choice;
  for (const MatrixCost& matrix : order) {
    const auto size = static_cast<double>(matrix.weights);
    const bool fits = size <= left;
    if (fits) left -= size;
    choice[matrix.name] = fits ? WeightFormat::q8 : WeightFormat::q4;
  }
  return choice;
}

}  // namespace precis
