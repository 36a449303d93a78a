#include "calibration/bit_budget.h"

#include <algorithm>
#include <array>
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

void check_bits(double bits, std::string_view weights) {
  const double least = bits_of(WeightFormat::q4);
  const double most = bits_of(WeightFormat::q8);
  if (weights != name_of(WeightFormat::q4)) fail("bits: {}, which q4 alone can choose by, expected none", bits);
  if (!(bits >= least && bits <= most)) fail("bits: {}, expected a number from {} to {}", bits, least, most);
}

namespace {

// From each format the next better one. What a matrix costs falls with the mean square of its rounding errors, by a
// factor of four with each bit.
struct Step {
  WeightFormat to;
  double bits;   // more, a weight
  double saved;  // of what the matrix costs at four bits
};
constexpr std::array<Step, 3> steps = {
    {{WeightFormat::q5, 1, 1 - 1.0 / 4}, {WeightFormat::q6, 1, 1.0 / 4 - 1.0 / 16}, {WeightFormat::q8, 2, 1.0 / 16}}};

}  // namespace

double share_left(WeightFormat format) {
  double left = 1;
  for (const Step& step : steps) {
    if (integer_bits(step.to) <= integer_bits(format)) left -= step.saved;
  }
  return left;
}

FormatChoice spend_bits(std::span<const MatrixCost> costs, double bits) {
  const double four = bits_of(WeightFormat::q4);
  PRECIS_CHECK(bits >= four);
  struct Offer {
    double gain;  // nats a bit
    const MatrixCost* matrix;
    std::size_t step;
  };
  std::vector<Offer> offers;
  std::int64_t weights = 0;
  FormatChoice choice;
  for (const MatrixCost& matrix : costs) {
    weights += matrix.weights;
    choice[matrix.name] = WeightFormat::q4;
    for (std::size_t step = 0; step < steps.size(); ++step) {
      const double size = steps[step].bits * static_cast<double>(matrix.weights);
      offers.push_back({steps[step].saved * matrix.cost / size, &matrix, step});
    }
  }
  std::sort(offers.begin(), offers.end(), [](const Offer& a, const Offer& b) {
    return std::tuple(-a.gain, std::string_view(a.matrix->name), a.step) <
           std::tuple(-b.gain, std::string_view(b.matrix->name), b.step);
  });
  // Half a bit more: what bits were divided from comes out again.
  double left = std::min(bits_of(WeightFormat::q8) - four, bits - four) * static_cast<double>(weights) + 0.5;
  for (const Offer& offer : offers) {
    const Step& step = steps[offer.step];
    const WeightFormat from = offer.step == 0 ? WeightFormat::q4 : steps[offer.step - 1].to;
    const double size = step.bits * static_cast<double>(offer.matrix->weights);
    WeightFormat& now = choice[offer.matrix->name];
    if (now != from || size > left) continue;
    left -= size;
    now = step.to;
  }
  return choice;
}

}  // namespace precis
