// Rows rounded on their inputs, held against rounding each block alone, against the same method computed another way,
// and against every change of one integer.
#include "calibration/row_rounding.h"

#include <gtest/gtest.h>

#include <Eigen/Dense>
#include <random>
#include <vector>

#include "tensor/block_fit.h"

namespace precis {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::MatrixXf;
using Eigen::VectorXd;

std::mt19937_64 fresh_engine() {
  std::random_device device;
  const std::uint64_t seed = device();
  testing::Test::RecordProperty("seed", std::to_string(seed));
  return std::mt19937_64(seed);
}

// X^T X of rows that are mixtures of fewer directions, some of them far stronger: as activations are.
MatrixXf correlated(std::mt19937_64& engine, Index inputs, Index rows) {
  std::normal_distribution<float> normal(0, 1);
  const auto draw = [&] { return normal(engine); };
  const MatrixXf directions = MatrixXf::NullaryExpr(inputs / 4, inputs, draw);
  MatrixXf strengths = MatrixXf::NullaryExpr(rows, inputs / 4, draw);
  for (Index i = 0; i < strengths.cols(); ++i) strengths.col(i) *= std::exp(normal(engine));
  const MatrixXf x = strengths * directions + 0.5F * MatrixXf::NullaryExpr(rows, inputs, draw);
  return x.transpose() * x;
}

std::vector<float> random_row(std::mt19937_64& engine, Index inputs) {
  std::normal_distribution<float> normal(0, 0.05F);
  std::vector<float> row(static_cast<std::size_t>(inputs));
  for (float& value : row) value = normal(engine);
  row[static_cast<std::size_t>(inputs) / 2] *= 6;
  return row;
}

struct Stored {
  WeightFormat format;
  std::vector<std::byte> values;
  std::vector<F16> scales;
  Index inputs;

  Stored(WeightFormat of, Index size)
      : format(of),
        values(static_cast<std::size_t>(value_row_bytes(of, size))),
        scales(static_cast<std::size_t>(scale_row_bytes(of, size)) / sizeof(F16)),
        inputs(size) {}

  std::vector<float> floats() const {
    std::vector<float> row(static_cast<std::size_t>(inputs));
    dequantize_row(format, values.data(), scales.data(), row);
    return row;
  }
  float scale(Index i) const { return line(i).scale; }
  float minimum(Index i) const { return line(i).minimum; }
  float low() const { return format == WeightFormat::q8 ? -127 : 0; }
  float high() const { return format == WeightFormat::q8 ? 127 : static_cast<float>((1 << integer_bits(format)) - 1); }

 private:
  BlockLine line(Index i) const { return stored_line(format, scales[static_cast<std::size_t>(i / quantized_block)]); }
};

Stored on_inputs(const Quadratic& error, WeightFormat format, const std::vector<float>& row) {
  Stored stored(format, static_cast<Index>(row.size()));
  round_row(error, format, row, stored.values.data(), stored.scales.data());
  return stored;
}
Stored alone(WeightFormat format, const std::vector<float>& row) {
  Stored stored(format, static_cast<Index>(row.size()));
  quantize_row(format, row, stored.values.data(), stored.scales.data());
  return stored;
}

// In double.
double error_of(const Quadratic& error, const std::vector<float>& row, const std::vector<float>& stored) {
  VectorXd off(error.inputs());
  for (Index i = 0; i < off.size(); ++i) {
    off[i] = static_cast<double>(stored[static_cast<std::size_t>(i)]) - row[static_cast<std::size_t>(i)];
  }
  return off.dot(error.matrix().cast<double>() * off);
}

class RowRoundingTest : public testing::TestWithParam<WeightFormat> {};

TEST_P(RowRoundingTest, CostsLessThanEachBlockAlone) {
  std::mt19937_64 engine = fresh_engine();
  double all = 0;
  double all_alone = 0;
  for (const Index inputs : {64, 128, 320}) {
    const Quadratic error(correlated(engine, inputs, 3 * inputs).data(), inputs, 0.01);
    for (int i = 0; i < 8; ++i) {
      const std::vector<float> row = random_row(engine, inputs);
      const double cost = error_of(error, row, on_inputs(error, GetParam(), row).floats());
      const double cost_alone = error_of(error, row, alone(GetParam(), row).floats());
      EXPECT_LE(cost, cost_alone * (1 + 1e-4));
      all += cost;
      all_alone += cost_alone;
    }
  }
  EXPECT_LT(all, 0.6 * all_alone);
}

// GPTQ as its authors write it: the inverse of H, its upper Cholesky factor, and each error handed on to the weights
// not yet rounded. From the same scales (those of each block alone) it cannot end better than where we go on from.
TEST_P(RowRoundingTest, NoWorseThanGptqByTheInverse) {
  std::mt19937_64 engine = fresh_engine();
  constexpr Index inputs = 128;
  for (int i = 0; i < 8; ++i) {
    const Quadratic error(correlated(engine, inputs, 2 * inputs).data(), inputs, 0.01);
    const std::vector<float> row = random_row(engine, inputs);
    const Stored scales = alone(GetParam(), row);
    std::vector<Index> order(error.order().rbegin(), error.order().rend());
    MatrixXd ordered(inputs, inputs);
    for (Index a = 0; a < inputs; ++a) {
      for (Index b = 0; b < inputs; ++b) {
        ordered(a, b) = error.matrix()(order[static_cast<std::size_t>(a)], order[static_cast<std::size_t>(b)]);
      }
    }
    const MatrixXd upper = ordered.inverse().llt().matrixU();
    VectorXd left(inputs);
    for (Index a = 0; a < inputs; ++a) left[a] = row[static_cast<std::size_t>(order[static_cast<std::size_t>(a)])];
    std::vector<float> rounded(row.size());
    for (Index a = 0; a < inputs; ++a) {
      const Index input = order[static_cast<std::size_t>(a)];
      const double scale = scales.scale(input);
      const double q =
          std::clamp<double>(std::nearbyint((left[a] - scales.minimum(input)) / scale), scales.low(), scales.high());
      const double value = scale * q + scales.minimum(input);
      rounded[static_cast<std::size_t>(input)] = static_cast<float>(value);
      const double handed_on = (left[a] - value) / upper(a, a);
      left.tail(inputs - a) -= handed_on * upper.row(a).tail(inputs - a).transpose();
    }
    EXPECT_LE(error_of(error, row, on_inputs(error, GetParam(), row).floats()),
              error_of(error, row, rounded) * (1 + 1e-3));
  }
}

TEST_P(RowRoundingTest, NoOtherIntegerIsBetter) {
  std::mt19937_64 engine = fresh_engine();
  constexpr Index inputs = 64;
  const Quadratic error(correlated(engine, inputs, 200).data(), inputs, 0.01);
  const std::vector<float> row = random_row(engine, inputs);
  const Stored stored = on_inputs(error, GetParam(), row);
  const std::vector<float> values = stored.floats();
  const double least = error_of(error, row, values);
  const float low = stored.low();
  const float high = stored.high();
  for (Index i = 0; i < inputs; ++i) {
    for (const float step : {-1.0F, 1.0F}) {
      std::vector<float> other = values;
      float& value = other[static_cast<std::size_t>(i)];
      value += step * stored.scale(i);
      const float q = (value - stored.minimum(i)) / stored.scale(i);
      if (q < low - 0.5F || q > high + 0.5F) continue;
      EXPECT_GE(error_of(error, row, other), least * (1 - 1e-4)) << i;
    }
  }
}

// Where inputs have nothing to do with each other, weights cannot make up for one another.
TEST_P(RowRoundingTest, UnrelatedInputsGiveTheNearestIntegers) {
  std::mt19937_64 engine = fresh_engine();
  constexpr Index inputs = 64;
  const Quadratic error(MatrixXf::Identity(inputs, inputs).eval().data(), inputs, 0.01);
  for (int i = 0; i < 8; ++i) {
    const std::vector<float> row = random_row(engine, inputs);
    const Stored stored = on_inputs(error, GetParam(), row);
    const std::vector<float> values = stored.floats();
    EXPECT_LE(error_of(error, row, values), error_of(error, row, alone(GetParam(), row).floats()) * (1 + 1e-4));
    const float low = stored.low();
    const float high = stored.high();
    for (Index at = 0; at < inputs; ++at) {
      const float weight = row[static_cast<std::size_t>(at)];
      const float within =
          std::clamp(weight, stored.minimum(at) + low * stored.scale(at), stored.minimum(at) + high * stored.scale(at));
      EXPECT_LE(std::abs(values[static_cast<std::size_t>(at)] - within), 0.501F * stored.scale(at)) << at;
    }
  }
}

TEST_P(RowRoundingTest, DeadInputsAndSingularMoments) {
  std::mt19937_64 engine = fresh_engine();
  constexpr Index inputs = 64;
  MatrixXf dead = correlated(engine, inputs, 100);
  dead.row(5).setZero();
  dead.col(5).setZero();
  dead.middleRows(32, 32).setZero();
  dead.middleCols(32, 32).setZero();
  const Eigen::VectorXf one = Eigen::VectorXf::Random(inputs);
  for (const MatrixXf& sums : {dead, MatrixXf(one * one.transpose()), MatrixXf(MatrixXf::Zero(inputs, inputs))}) {
    const Quadratic error(sums.data(), inputs, 0.01);
    for (std::vector<float> row : {random_row(engine, inputs), std::vector<float>(inputs, 0.25F),
                                   std::vector<float>(inputs, 0.0F), std::vector<float>(inputs, 65504.0F)}) {
      const std::vector<float> values = on_inputs(error, GetParam(), row).floats();
      for (const float value : values) ASSERT_TRUE(std::isfinite(value));
      EXPECT_LE(error_of(error, row, values), error_of(error, row, alone(GetParam(), row).floats()) * (1 + 1e-4));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, RowRoundingTest,
                         testing::Values(WeightFormat::q8, WeightFormat::q6, WeightFormat::q5, WeightFormat::q4),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST(QuadraticTest, NumbersThatAreNotFiniteAreRefused) {
  MatrixXf sums = MatrixXf::Identity(32, 32);
  sums(3, 3) = std::numeric_limits<float>::infinity();
  EXPECT_THROW(Quadratic(sums.data(), 32, 0.01), std::runtime_error);
}

}  // namespace
}  // namespace precis
