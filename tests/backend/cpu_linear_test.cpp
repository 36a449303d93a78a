// Products of the CPU backend against the reference, for each instruction set of this machine.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cpu_fixture.h"

namespace precis {
namespace {

// What products of `inputs` numbers of about 1 may differ by: sums are rounded to 2^-24, 16-bit activations to 2^-15 of
// the largest of some blocks. bf16 activations that are bf16 and those of `eight_bit_rows` where 8 bits or tiles meet
// them are not rounded at all.
float product_tolerance(WeightFormat format, std::int64_t inputs) {
  const auto count = static_cast<float>(inputs);
  return 1e-6F * count + (format == WeightFormat::q8 ? 3e-4F * std::sqrt(count) : 0.0F);
}

// Rows of which 8 bits and a scale hold every block of 32: from -127 to 127 times a power of two, with an end of the
// range in each.
std::vector<float> eight_bit_rows(Random& random, std::int64_t rows, std::int64_t stride, std::int64_t inputs) {
  std::vector<float> x(static_cast<std::size_t>((rows - 1) * stride + inputs));
  for (std::int64_t row = 0; row < rows; ++row) {
    float unit = 1;
    std::int64_t end = 0;
    for (std::int64_t i = 0; i < inputs; ++i) {
      if (i % 32 == 0) {
        unit = std::exp2(static_cast<float>(random.between(-8, -5)));
        end = i + random.between(0, 31);
      }
      const std::int64_t integer = i == end ? 127 - 254 * random.between(0, 1) : random.between(-127, 127);
      x[static_cast<std::size_t>(row * stride + i)] = static_cast<float>(integer) * unit;
    }
  }
  return x;
}

std::vector<float> bf16_rows(std::vector<float> x) {
  for (float& value : x) value = to_float(to_bf16(value));
  return x;
}

class CpuLinearTest : public CpuOpsTest {
 protected:
  // Rows of activations that the products of this format do not round.
  std::vector<float> rows_held(WeightFormat format, std::int64_t rows, std::int64_t stride, std::int64_t inputs,
                               bool exact) {
    const bool tiles = !exact && format == WeightFormat::q8 && GetParam()->multiplies_tiles;
    if (has_minimum(format) || tiles) return eight_bit_rows(random_, rows, stride, inputs);
    std::vector<float> x = random_.normals((rows - 1) * stride + inputs);
    const bool halves = !exact && format == WeightFormat::bf16 && GetParam()->multiplies_halves;
    return halves ? bf16_rows(std::move(x)) : x;
  }

  // The products of two matrices with the same rows, side by side as q, k and v are.
  void compare(WeightFormat format, std::int64_t inputs, std::int64_t rows, bool exact) {
    cpu::CpuOps ops(*GetParam(), 1, exact);
    const std::int64_t stride = inputs + random_.between(0, 5);
    const std::vector<float> x = rows_held(format, rows, stride, inputs, exact);
    const Matrix first(random_, format, random_.between(1, 20), inputs);
    const Matrix second(random_, format, random_.between(1, 70), inputs);
    const std::vector<float> bias = random_.normals(second.view.outputs);
    const std::int64_t y_stride = first.view.outputs + second.view.outputs;
    const std::vector<float> before = random_.normals(rows * y_stride);
    const bool accumulate = random_.between(0, 1) == 1;
    const auto solve = [&](Ops& solver) {
      std::vector<float> y = before;
      const LinearPart parts[] = {{first.view, nullptr, y.data(), y_stride},
                                  {second.view, bias.data(), y.data() + first.view.outputs, y_stride}};
      solver.linear({x.data(), stride, rows, parts, accumulate});
      return y;
    };
    SCOPED_TRACE(testing::Message() << name_of(format) << " inputs " << inputs << " rows " << rows << " exact "
                                    << exact);
    expect_close(solve(ops), solve(reference_), product_tolerance(format, inputs));
  }
};

INSTANTIATE_TEST_SUITE_P(Isa, CpuLinearTest, testing::ValuesIn(cpu::available_kernels()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST_P(CpuLinearTest, PlainWeightsMatch) {
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::f16, WeightFormat::f32}) {
    for (const std::int64_t inputs : {1, 10, 24, 40, 64, 160, 257, 512, 1030}) {
      for (const std::int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 40, 97}) {
        compare(format, inputs, rows, random_.between(0, 1) == 1);
      }
    }
  }
}

TEST_P(CpuLinearTest, QuantizedWeightsMatch) {
  for (const WeightFormat format : {WeightFormat::q8, WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    for (const std::int64_t inputs : {64, 128, 192, 320, 384, 512, 576, 1024, 1344, 2112}) {
      for (const std::int64_t rows : {1, 2, 3, 4, 5, 6, 7, 9, 12, 40, 97}) {
        compare(format, inputs, rows, random_.between(0, 1) == 1);
      }
    }
  }
  for (const WeightFormat format : {WeightFormat::q8, WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    for (const std::int64_t inputs : {32, 96, 160, 224, 288, 480, 992, 1056}) {
      for (const std::int64_t rows : {1, 3, 4, 5, 31}) compare(format, inputs, rows, true);
    }
  }
}

// What 8 bits do not hold is rounded to 1/254 of the largest of its block.
TEST_P(CpuLinearTest, FourBitWeightsRoundActivations) {
  constexpr std::int64_t inputs = 1024;
  constexpr std::int64_t outputs = 40;
  const Matrix matrix(random_, WeightFormat::q4, outputs, inputs);
  for (const std::int64_t rows : {1, 9}) {
    const std::vector<float> x = random_.normals(rows * inputs);
    const auto solve = [&](Ops& solver) {
      std::vector<float> y(static_cast<std::size_t>(rows * outputs));
      const LinearPart part{matrix.view, nullptr, y.data(), outputs};
      solver.linear({x.data(), inputs, rows, std::span(&part, 1)});
      return y;
    };
    const std::vector<float> actual = solve(ops_);
    const std::vector<float> expected = solve(reference_);
    double squares = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) squares += std::pow(actual[i] - expected[i], 2);
    // Activations and weights of about 1, the largest of a block about 2.2: 2.2 / 127 / sqrt(12) each.
    const double error = std::sqrt(squares / static_cast<double>(actual.size()) / inputs);
    EXPECT_LT(error, 0.008);
    EXPECT_GT(error, 0.001) << "as if nothing were rounded";
  }
}

TEST_P(CpuLinearTest, HalvesRoundActivations) {
  if (!GetParam()->multiplies_halves) GTEST_SKIP() << "multiplies floats";
  constexpr std::int64_t inputs = 77;
  constexpr std::int64_t outputs = 40;
  const Matrix matrix(random_, WeightFormat::bf16, outputs, inputs);
  for (const std::int64_t rows : {1, 5, 40}) {
    const std::vector<float> x = random_.normals(rows * inputs);
    const auto product = [&](const std::vector<float>& activations) {
      std::vector<float> y(static_cast<std::size_t>(rows * outputs));
      const LinearPart part{matrix.view, nullptr, y.data(), outputs};
      ops_.linear({activations.data(), inputs, rows, std::span(&part, 1)});
      return y;
    };
    expect_same_bits(product(x), product(bf16_rows(x)));
  }
}

// To bf16, and small ones of a block to multiples of 2^-11 of the largest one's power of two.
TEST_P(CpuLinearTest, TilesRoundActivationsOfEightBitWeights) {
  if (!GetParam()->multiplies_tiles) GTEST_SKIP() << "has no tiles";
  constexpr std::int64_t inputs = 544;
  constexpr std::int64_t outputs = 40;
  const Matrix matrix(random_, WeightFormat::q8, outputs, inputs);
  for (const std::int64_t rows : {1, 4, 5, 40}) {
    std::vector<float> x = random_.normals(rows * inputs);
    for (float& value : x) value *= std::exp2(static_cast<float>(random_.between(-14, 0)));
    std::vector<float> rounded = bf16_rows(x);
    for (std::size_t block = 0; block < rounded.size(); block += 32) {
      float most = 0;
      for (std::size_t i = block; i < block + 32; ++i) most = std::max(most, std::abs(x[i]));
      const float unit = std::exp2(std::floor(std::log2(most)) - 11);
      for (std::size_t i = block; i < block + 32; ++i) rounded[i] = std::nearbyint(rounded[i] / unit) * unit;
    }
    const auto product = [&](Ops& solver, const std::vector<float>& activations) {
      std::vector<float> y(static_cast<std::size_t>(rows * outputs));
      const LinearPart part{matrix.view, nullptr, y.data(), outputs};
      solver.linear({activations.data(), inputs, rows, std::span(&part, 1)});
      return y;
    };
    const std::vector<float> actual = product(ops_, x);
    expect_close(actual, product(reference_, rounded), 1e-5F);
    const std::vector<float> plain = product(reference_, x);
    float most = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) most = std::max(most, std::abs(actual[i] - plain[i]));
    EXPECT_GT(most, 1e-4F) << "as if nothing were rounded";
  }
}

// More rows than are converted at a time.
TEST_P(CpuLinearTest, ManyRowsMatch) {
  for (const WeightFormat format :
       {WeightFormat::bf16, WeightFormat::q8, WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    compare(format, 64, 1100, true);
  }
}

TEST_P(CpuLinearTest, PartsOfDifferentFormatsMatch) {
  for (const std::int64_t rows : {1, 4, 6, 30}) {
    const std::vector<float> x = eight_bit_rows(random_, rows, 128, 128);
    const Matrix matrices[] = {{random_, WeightFormat::q4, 33, 128},
                               {random_, WeightFormat::bf16, 20, 128},
                               {random_, WeightFormat::q8, 5, 128},
                               {random_, WeightFormat::f32, 1, 128},
                               {random_, WeightFormat::f16, 13, 128}};
    const auto solve = [&](Ops& solver) {
      std::vector<float> y(static_cast<std::size_t>(rows * 72));
      std::vector<LinearPart> parts;
      float* to = y.data();
      for (const Matrix& matrix : matrices) {
        parts.push_back({matrix.view, nullptr, to, 72});
        to += matrix.view.outputs;
      }
      solver.linear({x.data(), 128, rows, parts});
      return y;
    };
    expect_close(solve(ops_), solve(reference_), product_tolerance(WeightFormat::q8, 128));
  }
}

// Activations of very different sizes, blocks of nothing, and weights at the ends of their range.
TEST_P(CpuLinearTest, QuantizedWeightsHoldAtExtremes) {
  constexpr std::int64_t inputs = 576;
  for (const WeightFormat format : {WeightFormat::q8, WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    std::vector<float> weights(inputs);
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = i % 3 == 0 ? -1.0F : 1.0F;
    std::vector<std::byte> values(static_cast<std::size_t>(value_row_bytes(format, inputs)));
    std::vector<F16> scales(static_cast<std::size_t>(scale_row_bytes(format, inputs) / 2));
    quantize_row(format, weights, values.data(), scales.data());
    const WeightView view{values.data(), scales.data(), format, 1, inputs};
    for (const std::int64_t rows : {1, 5}) {
      std::vector<float> x(static_cast<std::size_t>(rows * inputs));
      for (std::size_t i = 0; i < x.size(); ++i) {
        const float size = i / 32 % 3 == 0 ? 1000.0F : i / 32 % 3 == 1 ? 1e-3F : 0.0F;
        x[i] = weights[i % inputs] * size;  // the largest sums that there are
      }
      const auto solve = [&](Ops& solver) {
        std::vector<float> y(static_cast<std::size_t>(rows));
        const LinearPart part{view, nullptr, y.data(), 1};
        solver.linear({x.data(), inputs, rows, std::span(&part, 1)});
        return y;
      };
      expect_close(solve(ops_), solve(reference_), 1e-5F);
      x[100] = std::numeric_limits<float>::infinity();
      EXPECT_FALSE(std::isfinite(solve(ops_)[0]));
      x[100] = std::nanf("");
      EXPECT_TRUE(std::isnan(solve(ops_)[0]));
      for (float& value : x) value = 0;
      expect_same_bits(solve(ops_), std::vector<float>(static_cast<std::size_t>(rows), 0));
    }
  }
}

}  // namespace
}  // namespace precis
