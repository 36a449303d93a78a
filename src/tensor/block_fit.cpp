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

struct Range {
  float low;
  float high;
};

// The nearest q in the range to (x - minimum) / scale; where the scale is 0, the nearest to 0.
class Rounder {
 public:
  Rounder(BlockLine line, Range range)
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
float squared_error(const Numbers& x, BlockLine line, Range range) {
  const Rounder rounded(line, range);
  Four sum{};
  for (const Four& part : x) {
    const Four difference = rounded(part) * four(line.scale) + four(line.minimum) - part;
    sum += difference * difference;
  }
  return total(sum);
}

BlockIntegers integers(const Numbers& x, BlockLine line, Range range) {
  const Rounder rounded(line, range);
  BlockIntegers q;
  for (std::size_t i = 0; i < fours; ++i) {
    const Four part = rounded(x[i]);
    for (std::size_t lane = 0; lane < 4; ++lane) q[4 * i + lane] = static_cast<std::int8_t>(part[lane]);
  }
  return q;
}

constexpr Range q8_range{-127, 127};
// Of what has a minimum.
Range range_of(WeightFormat format) {
  return {0, static_cast<float>((1 << integer_bits(format)) - 1)};
}

// A block moved and stretched to [0, 1], so that all blocks are searched alike.
class LineSearch {
 public:
  LineSearch(const Numbers& block, Range integers, float low, float range) : integers_(integers) {
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
  BlockLine best() const {
    struct Cut {  // steps, about
      float low;
      float high;
    };
    constexpr std::array<Cut, 9> cuts = {
        {{0, 0}, {0, 0.8F}, {0.8F, 0}, {0.8F, 0.8F}, {0, 1.6F}, {1.6F, 0}, {0.8F, 1.6F}, {1.6F, 0.8F}, {1.6F, 1.6F}}};
    const float steps = integers_.high + 1;
    BlockLine best{1 / integers_.high, 0};
    float least = infinity;
    for (const Cut& cut : cuts) {
      BlockLine line{(1 - (cut.low + cut.high) / steps) / integers_.high, cut.low / steps};
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
  float improve(BlockLine& line) const {
    const Rounder rounded(line, integers_);
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

  Range integers_;
  Numbers x_;
  float x_sum_;
  float xx_sum_;
};

// The largest magnitude becomes about 127: a few scales near that one, of which the best may clip it a little.
FittedBlock fit_scale(Block block) {
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

FittedBlock fit_line(WeightFormat format, Block block) {
  // 0 is always among what a line stands for.
  const auto [least_of, most_of] = std::minmax_element(block.begin(), block.end());
  const float low = std::min(*least_of, 0.0F);
  const float range = std::max(*most_of, 0.0F) - low;
  const Numbers numbers = load(block);
  const Range integers_range = range_of(format);
  F16 word{};
  float least = infinity;
  // What is stored counts, not what was meant.
  const auto hold = [&](BlockLine line) {
    for (const int steps : {0, -1, 1}) {
      const F16 stored = line_word(format, line.scale, line.minimum, steps);
      const float error = squared_error(numbers, stored_line(format, stored), integers_range);
      if (!(error < least)) continue;
      least = error;
      word = stored;
    }
  };
  hold({range / integers_range.high, low});
  if (least > 0 && std::isnormal(range)) {
    const BlockLine best = LineSearch(numbers, integers_range, low, range).best();
    hold({best.scale * range, low + best.minimum * range});
  }
  return {word, integers(numbers, stored_line(format, word), integers_range)};
}

}  // namespace

FittedBlock fit_block(WeightFormat format, Block block) {
  return format == WeightFormat::q8 ? fit_scale(block) : fit_line(format, block);
}

}  // namespace precis
