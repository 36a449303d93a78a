#include "tensor/block_fit.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace precis {
namespace {

// Four numbers at a time, which every x86 and ARM machine of 64 bits can; sums are kept in four parts, in one order.
using Four = float __attribute__((vector_size(16)));
constexpr std::size_t fours = 8;
constexpr auto count = static_cast<float>(4 * fours);
using Numbers = std::array<Four, fours>;

constexpr float infinity = std::numeric_limits<float>::infinity();

Four four(float value) {
  return Four{value, value, value, value};
}

// Of each pair. Compilers make four instructions of the plain form.
#if defined(__SSE__)
Four larger(Four a, Four b) {
  return _mm_max_ps(a, b);
}
Four smaller(Four a, Four b) {
  return _mm_min_ps(a, b);
}
#else
Four larger(Four a, Four b) {
  return a > b ? a : b;
}
Four smaller(Four a, Four b) {
  return a < b ? a : b;
}
#endif

float total(Four parts) {
  return (parts[0] + parts[1]) + (parts[2] + parts[3]);
}

Numbers load(Block block) {
  Numbers numbers;
  std::memcpy(&numbers, block.data(), sizeof numbers);
  return numbers;
}

struct Line {
  float scale;
  float minimum;
};

struct Range {
  float low;
  float high;
};

// The nearest q in the range to (x - minimum) / scale; where the scale is 0, the nearest to 0.
class Rounder {
 public:
  Rounder(Line line, Range range)
      : inverse_(four(line.scale > 0 ? 1 / line.scale : 0)),
        minimum_(four(line.minimum)),
        low_(four(range.low)),
        high_(four(range.high)) {}

  Four operator()(Four x) const {
    Four q = (x - minimum_) * inverse_;
    q = smaller(larger(q, low_), high_);
    // Beyond 2^23 a float has no fraction: adding this rounds to the nearest integer, ties to even.
    const Four rounder = four(12582912);
    return (q + rounder) - rounder;
  }

 private:
  Four inverse_;
  Four minimum_;
  Four low_;
  Four high_;
};

// sum((scale * q + minimum - x)^2)
float squared_error(const Numbers& x, Line line, Range range) {
  const Rounder rounded(line, range);
  Four sum{};
  for (const Four& part : x) {
    const Four difference = rounded(part) * four(line.scale) + four(line.minimum) - part;
    sum += difference * difference;
  }
  return total(sum);
}

BlockIntegers integers(const Numbers& x, Line line, Range range) {
  const Rounder rounded(line, range);
  BlockIntegers q;
  for (std::size_t i = 0; i < fours; ++i) {
    const Four part = rounded(x[i]);
    for (std::size_t lane = 0; lane < 4; ++lane) q[4 * i + lane] = static_cast<std::int8_t>(part[lane]);
  }
  return q;
}

constexpr Range q8_range{-127, 127};
constexpr Range q4_range{0, 15};

// A block moved and stretched to [0, 1], so that all blocks are searched alike.
class Q4Search {
 public:
  Q4Search(const Numbers& block, float low, float range) {
    const float inverse = 1 / range;
    Four sum{};
    Four squares{};
    for (std::size_t i = 0; i < fours; ++i) {
      x_[i] = (block[i] - four(low)) * four(inverse);
      sum += x_[i];
      squares += x_[i] * x_[i];
    }
    x_sum_ = total(sum);
    xx_sum_ = total(squares);
  }

  // From several ranges, shrunken so that the outermost numbers are clipped more or less.
  Line best() const {
    struct Cut {
      float low;
      float high;
    };
    constexpr std::array<Cut, 9> cuts = {{{0, 0},
                                          {0, 0.05F},
                                          {0.05F, 0},
                                          {0.05F, 0.05F},
                                          {0, 0.1F},
                                          {0.1F, 0},
                                          {0.05F, 0.1F},
                                          {0.1F, 0.05F},
                                          {0.1F, 0.1F}}};
    Line best{1.0F / 15, 0};
    float least = infinity;
    for (const Cut& cut : cuts) {
      Line line{(1 - cut.low - cut.high) / 15, cut.low};
      improve(line);
      const float error = improve(line);
      if (!(error < least)) continue;
      least = error;
      best = line;
    }
    for (int round = 0; round < 2; ++round) improve(best);
    return best;
  }

 private:
  // Rounds to `line`, then lays the line so that the squared error of what was rounded is least; gives that error.
  // Infinity: no rising line does.
  float improve(Line& line) const {
    const Rounder rounded(line, q4_range);
    Four sum{};
    Four squares{};
    Four products{};
    for (const Four& x : x_) {
      const Four q = rounded(x);
      sum += q;
      squares += q * q;
      products += q * x;
    }
    const float q_sum = total(sum);
    const float qx_sum = total(products);
    const float determinant = count * total(squares) - q_sum * q_sum;
    const float slope = count * qx_sum - q_sum * x_sum_;
    if (!(determinant > 0) || !(slope > 0)) return infinity;
    line.scale = slope / determinant;
    line.minimum = (x_sum_ - line.scale * q_sum) / count;
    return xx_sum_ - line.scale * qx_sum - line.minimum * x_sum_;
  }

  Numbers x_;
  float x_sum_;
  float xx_sum_;
};

}  // namespace

// The largest magnitude becomes about 127: a few scales near that one, of which the best may clip it a little.
Q8Block fit_q8(Block block) {
  constexpr std::array<float, 3> tops = {127, 126.5F, 127.4F};
  float largest = 0;
  for (const float value : block) largest = std::max(largest, std::abs(value));
  const Numbers numbers = load(block);
  F16 best{};
  float least = infinity;
  for (const float top : tops) {
    const F16 stored = to_f16(largest / top);
    const float error = squared_error(numbers, {to_float(stored), 0}, q8_range);
    if (!(error < least)) continue;
    least = error;
    best = stored;
  }
  return {best, integers(numbers, {to_float(best), 0}, q8_range)};
}

Q4Block fit_q4(Block block) {
  const auto [low, high] = std::minmax_element(block.begin(), block.end());
  const float range = *high - *low;
  const Numbers numbers = load(block);
  F16 scale{};
  F16 minimum{};
  float least = infinity;
  // What is stored counts, not what was meant.
  const auto hold = [&](Line line) {
    const F16 stored_scale = to_f16(line.scale);
    const F16 stored_minimum = to_f16(line.minimum);
    const float error = squared_error(numbers, {to_float(stored_scale), to_float(stored_minimum)}, q4_range);
    if (!(error < least)) return;
    least = error;
    scale = stored_scale;
    minimum = stored_minimum;
  };
  hold({range / 15, *low});
  if (least > 0 && std::isnormal(range)) {
    const Line best = Q4Search(numbers, *low, range).best();
    hold({best.scale * range, *low + best.minimum * range});
  }
  return {scale, minimum, integers(numbers, {to_float(scale), to_float(minimum)}, q4_range)};
}

}  // namespace precis
