#include "calibration/row_rounding.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "tensor/block_fit.h"

namespace precis {
namespace {

using Eigen::Index;
using Eigen::VectorXf;

constexpr Index block_size = quantized_block;
// One weight at a time: passes over the row, at most. Nearly always the third or fourth changes nothing.
constexpr int most_passes = 10;
// Scales and minimums anew, and passes after it; more gain less than a hundredth.
constexpr int refits = 2;

// A row as it is stored: weight i of block b stands for scale[b] * q[i] + minimum[b].
struct Rounded {
  VectorXf q;              // integers
  std::vector<F16> words;  // [blocks]: what is stored of each line
  VectorXf scale;          // [blocks]: those of the words
  VectorXf minimum;

  float value(Index i) const { return scale[i / block_size] * q[i] + minimum[i / block_size]; }
};

class RowRounding {
 public:
  RowRounding(const Quadratic& error, WeightFormat format, std::span<const float> row)
      : error_(error),
        format_(format),
        row_(Eigen::Map<const VectorXf>(row.data(), static_cast<Index>(row.size()))),
        low_(has_minimum(format) ? 0 : -127),
        high_(has_minimum(format) ? static_cast<float>((1 << integer_bits(format)) - 1) : 127),
        now_{VectorXf(row_.size()), std::vector<F16>(row.size() / static_cast<std::size_t>(block_size)),
             VectorXf(row_.size() / block_size), VectorXf(row_.size() / block_size)} {}

  Rounded best() {
    fit_blocks();
    Rounded best = now_;
    float least = error_now();
    const auto keep_better = [&] {
      const float error = descend();
      if (!(error < least)) return false;
      least = error;
      best = now_;
      return true;
    };
    round_in_order();
    keep_better();
    for (int round = 0; has_minimum(format_) && round < refits; ++round) {
      refit();
      if (!keep_better()) break;
    }
    return best;
  }

 private:
  float nearest(float value, Index block) const {
    if (!(now_.scale[block] > 0)) return 0;
    const float q = std::nearbyint((value - now_.minimum[block]) / now_.scale[block]);
    return std::clamp(q, low_, high_);
  }

  void take(Index block, F16 word) {
    now_.words[static_cast<std::size_t>(block)] = word;
    const BlockLine line = stored_line(format_, word);
    now_.scale[block] = line.scale;
    now_.minimum[block] = line.minimum;
  }

  void fit_blocks() {
    for (Index block = 0; block < now_.scale.size(); ++block) {
      const Block weights(row_.data() + block * block_size, static_cast<std::size_t>(block_size));
      const FittedBlock fit = fit_block(format_, weights);
      take(block, fit.word);
      for (Index i = 0; i < block_size; ++i) now_.q[block * block_size + i] = fit.q[static_cast<std::size_t>(i)];
    }
  }

  VectorXf difference() const {
    VectorXf difference(row_.size());
    for (Index i = 0; i < row_.size(); ++i) difference[i] = now_.value(i) - row_[i];
    return difference;
  }

  float error_now() const {
    const VectorXf off = difference();
    return off.dot(error_.matrix() * off);
  }

  // From the most important input to the least. With H = L L^T the error is that of L^T (w - w'), whose element i has
  // the inputs from i on: all but the i-th are rounded by then.
  void round_in_order() {
    const Eigen::MatrixXf& factor = error_.factor();
    const Index size = row_.size();
    VectorXf errors = VectorXf::Zero(size);  // w - w', in order
    for (Index i = size - 1; i >= 0; --i) {
      const Index input = error_.order()[static_cast<std::size_t>(i)];
      const Index rest = size - 1 - i;
      const float made_up = factor.col(i).tail(rest).dot(errors.tail(rest)) / factor(i, i);
      now_.q[input] = nearest(row_[input] + made_up, input / block_size);
      errors[i] = row_[input] - now_.value(input);
    }
  }

  // Each weight to its best integer while the others stay, until none changes. Gives the error.
  float descend() {
    const Eigen::MatrixXf& matrix = error_.matrix();
    VectorXf slope = matrix * difference();  // half of the error's
    bool changed = true;
    for (int pass = 0; changed && pass < most_passes; ++pass) {
      changed = false;
      for (auto at = error_.order().rbegin(); at != error_.order().rend(); ++at) {
        const Index input = *at;
        const Index block = input / block_size;
        const float q = nearest(now_.value(input) - slope[input] / matrix(input, input), block);
        if (q == now_.q[input]) continue;
        slope += (now_.scale[block] * (q - now_.q[input])) * matrix.col(input);
        now_.q[input] = q;
        changed = true;
      }
    }
    return difference().dot(slope);
  }

  // The scales and minimums of least error for the integers as they are: with w' = B z, z all scales and minimums of
  // the row, B^T H B z = B^T H w. A block that gets no rising line keeps its own.
  void refit() {
    const Index blocks = now_.scale.size();
    Eigen::MatrixXd columns(row_.size(), 2 * blocks);  // H B: of each block its integers, then ones
    for (Index block = 0; block < blocks; ++block) {
      const auto own = error_.matrix().middleCols(block * block_size, block_size);
      columns.col(2 * block) = (own * now_.q.segment(block * block_size, block_size)).cast<double>();
      columns.col(2 * block + 1) = error_.block_columns().col(block).cast<double>();
    }
    Eigen::MatrixXd normal(2 * blocks, 2 * blocks);
    for (Index block = 0; block < blocks; ++block) {
      const auto own = columns.middleRows(block * block_size, block_size);
      normal.row(2 * block) = now_.q.segment(block * block_size, block_size).cast<double>().transpose() * own;
      normal.row(2 * block + 1) = own.colwise().sum();
    }
    const Eigen::VectorXd right = columns.transpose() * row_.cast<double>();
    const Eigen::VectorXd lines = normal.ldlt().solve(right);
    for (Index block = 0; block < blocks; ++block) {
      const auto scale = static_cast<float>(lines[2 * block]);
      const auto minimum = static_cast<float>(lines[2 * block + 1]);
      if (!(scale > 0) || !std::isfinite(scale) || !std::isfinite(minimum)) continue;
      take(block, line_word(format_, scale, minimum));
    }
  }

  const Quadratic& error_;
  WeightFormat format_;
  VectorXf row_;
  float low_;  // of integers
  float high_;
  Rounded now_;
};

}  // namespace

void round_row(const Quadratic& error, WeightFormat format, std::span<const float> row, std::byte* values,
               F16* scales) {
  PRECIS_CHECK(is_quantized(format) && static_cast<Index>(row.size()) == error.inputs());
  const Rounded rounded = RowRounding(error, format, row).best();
  std::vector<std::int8_t> q(row.size());
  for (std::size_t i = 0; i < q.size(); ++i) q[i] = static_cast<std::int8_t>(rounded.q[static_cast<Index>(i)]);
  pack_row(format, q, values);
  std::copy(rounded.words.begin(), rounded.words.end(), scales);
}

}  // namespace precis
