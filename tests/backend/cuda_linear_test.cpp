// Products of the cuda backend against the reference, and a row's bits in any small batch. Skipped without a GPU.
#include "backend/reference/reference_ops.h"
#include "gpu.h"
#ifdef PRECIS_HAS_CUDA
#include "backend/cuda/several_rows.h"
#endif

namespace precis {
namespace {

constexpr WeightFormat all_formats[] = {WeightFormat::f32, WeightFormat::f16, WeightFormat::bf16, WeightFormat::q8,
                                        WeightFormat::q6,  WeightFormat::q5,  WeightFormat::q4};

class CudaLinearTest : public GpuTest {
 protected:
  using Counts = std::vector<std::int64_t>;

  // The products of two matrices with the same rows, side by side as q, k and v are.
  void compare(WeightFormat format, std::int64_t inputs, std::int64_t rows, bool exact) {
    const std::int64_t stride = inputs + 4 * random_.between(0, 1) + random_.between(0, 1);
    const std::vector<float> x = random_.normals((rows - 1) * stride + inputs);
    const Matrix first(random_, format, random_.between(1, 70), inputs);
    const Matrix second(random_, format, random_.between(1, 200), inputs);
    const std::vector<float> bias = random_.normals(second.view.outputs);
    const std::int64_t y_stride = first.view.outputs + second.view.outputs;
    const std::vector<float> before = random_.normals(rows * y_stride);
    const bool accumulate = random_.between(0, 1) == 1;
    const std::vector<float> norm = random_.normals(inputs);
    const InputNorm on_the_way{random_.between(0, 1) == 1 ? norm.data() : nullptr, 1e-5F};
    const auto solve = [&](Ops& solver) {
      std::vector<float> y = before;
      const LinearPart parts[] = {{first.view, nullptr, y.data(), y_stride},
                                  {second.view, bias.data(), y.data() + first.view.outputs, y_stride}};
      solver.linear({x.data(), stride, rows, parts, accumulate, on_the_way});
      return y;
    };
    SCOPED_TRACE(testing::Message() << name_of(format) << " inputs " << inputs << " rows " << rows << " stride "
                                    << stride << " outputs " << first.view.outputs << "+" << second.view.outputs
                                    << " exact " << exact << " accumulate " << accumulate << " norm "
                                    << (on_the_way.weight != nullptr));
    const bool rounded = !exact && rows > 4 && format != WeightFormat::f32;
    const std::vector<float> actual = solve(exact ? *exact_ops_ : *ops_);
    const std::vector<float> expected = solve(reference_);
    if (rounded) {
      // bf16 is off by 2^-9 at most, x and quantized weights each; f16 by an eighth of that.
      const double one = format == WeightFormat::f16 ? 0x1p-11 : 0x1p-8;
      const double typical = std::sqrt(static_cast<double>(y_stride * inputs));  // sums of products of normals
      expect_rows_near(actual, expected, y_stride, inputs < 32 || y_stride < 16 ? 4 * one : 1.5 * one, typical);
    } else {
      // Two bf16 that stand for a float are off by 2^-17.
      const bool in_two = !exact && rows > 1 && format == WeightFormat::bf16;
      const float rest = in_two ? 3e-5F * std::sqrt(static_cast<float>(inputs)) : 0;
      expect_close(actual, expected, 2e-7F * static_cast<float>(inputs) + 4e-6F + rest);
    }
  }

  // Products of `rows` rows, and of the first and last ones of them: as many as `counts` say.
  void expect_same_rows(WeightFormat format, std::int64_t inputs, std::int64_t rows, const Counts& counts) {
    constexpr std::int64_t outputs = 45;
    SCOPED_TRACE(testing::Message() << name_of(format) << " inputs " << inputs);
    const Matrix matrix(random_, format, outputs, inputs);
    const std::vector<float> x = random_.normals(rows * inputs);
    const std::vector<float> weights = random_.normals(inputs);
    const InputNorm norm{random_.between(0, 1) == 1 ? weights.data() : nullptr, 1e-5F};
    const auto product = [&](std::int64_t first, std::int64_t count) {
      std::vector<float> y(static_cast<std::size_t>(count * outputs));
      const LinearPart part{matrix.view, nullptr, y.data(), outputs};
      ops_->linear({x.data() + first * inputs, inputs, count, std::span(&part, 1), false, norm});
      std::vector<float> gated(y.size());
      ops_->gate_up({x.data() + first * inputs, count, {matrix.view}, {matrix.view}, norm, gated.data()});
      // Side by side, row by row.
      std::vector<float> both;
      for (std::int64_t row = 0; row < count; ++row) {
        for (const auto* of : {&y, &gated})
          both.insert(both.end(), of->begin() + row * outputs, of->begin() + (row + 1) * outputs);
      }
      return both;
    };
    const std::vector<float> whole = product(0, rows);
    const auto expected = [&](std::int64_t first, std::int64_t count) {
      return std::vector<float>(whole.begin() + first * 2 * outputs, whole.begin() + (first + count) * 2 * outputs);
    };
    for (const std::int64_t count : counts) {
      expect_same_bits(product(0, count), expected(0, count));
      expect_same_bits(product(rows - count, count), expected(rows - count, count));
    }
  }

  reference::ReferenceOps reference_;
};

TEST_F(CudaLinearTest, FewRowsMatch) {
  for (const WeightFormat format : all_formats) {
    for (const std::int64_t inputs : {32, 64, 96, 224, 256, 288, 512, 736, 1024, 1056, 2560}) {
      for (const std::int64_t rows : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16}) compare(format, inputs, rows, false);
    }
  }
}

TEST_F(CudaLinearTest, RowsOfAnyLengthMatch) {
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::f16, WeightFormat::f32}) {
    for (const std::int64_t inputs : {1, 4, 10, 24, 40, 257, 1030}) {
      for (const std::int64_t rows : {1, 3, 8, 12, 40, 64, 97}) compare(format, inputs, rows, false);
    }
  }
}

TEST_F(CudaLinearTest, ManyRowsMatch) {
  for (const WeightFormat format : all_formats) {
    for (const std::int64_t inputs : {64, 160, 288, 1024}) {
      for (const std::int64_t rows : {17, 18, 33, 64, 100, 257, 600}) compare(format, inputs, rows, false);
    }
  }
}

TEST_F(CudaLinearTest, ExactManyRowsMatch) {
  for (const WeightFormat format : all_formats) {
    for (const std::int64_t inputs : {64, 288, 1024}) {
      for (const std::int64_t rows : {17, 40, 300}) compare(format, inputs, rows, true);
    }
  }
}

// The formats of gate and up.
class CudaGateUpTest : public CudaLinearTest,
                       public testing::WithParamInterface<std::pair<WeightFormat, WeightFormat>> {
 protected:
  void expect_match(const Matrix& gate, const Matrix& up, std::int64_t rows, bool plain) {
    const std::int64_t width = gate.view.outputs;
    const std::int64_t inputs = gate.view.inputs;
    SCOPED_TRACE(testing::Message() << "width " << width << " inputs " << inputs << " rows " << rows << " plain "
                                    << plain);
    const std::vector<float> norm = random_.normals(inputs);
    const std::vector<float> biases = random_.normals(2 * width);
    const std::vector<float> x = random_.normals(rows * inputs);
    const auto solve = [&](Ops& ops) {
      std::vector<float> y(static_cast<std::size_t>(rows * width));
      ops.gate_up({x.data(),
                   rows,
                   {gate.view, plain ? nullptr : biases.data()},
                   {up.view, plain ? nullptr : biases.data() + width},
                   {plain ? nullptr : norm.data(), 1e-5F},
                   y.data()});
      return y;
    };
    const std::vector<float> expected = solve(reference_);
    // The gate multiplies two sums: where one is near zero, the other, a few times the inputs' root, lifts its error.
    expect_close(solve(*exact_ops_), expected, 4e-6F * static_cast<float>(inputs));
    // All rows count as one. Both sums are as large as the inputs' root, the gate leaves about half of them.
    const bool rounded = rows > 4 && GetParam().first != WeightFormat::f32;
    const double typical = 0.5 * static_cast<double>(inputs) * std::sqrt(static_cast<double>(rows * width));
    const double tolerance = !rounded ? 1e-2 : width > 1 ? 2e-2 : 4e-2;
    expect_rows_near(solve(*ops_), expected, rows * width, tolerance, rounded ? typical : 0);
  }
};

// Few rows and many, formats of one kind and of two, with norm and biases and without.
TEST_P(CudaGateUpTest, Matches) {
  for (const std::int64_t width : {1, 40, 333}) {
    for (const std::int64_t inputs : {160, 1024}) {
      const Matrix gate(random_, GetParam().first, width, inputs);
      const Matrix up(random_, GetParam().second, width, inputs);
      for (const std::int64_t rows : {1, 2, 4, 5, 9, 16, 17, 32, 33, 64, 65, 200}) {
        expect_match(gate, up, rows, random_.between(0, 1) == 0);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Formats, CudaGateUpTest,
    testing::Values(std::pair{WeightFormat::f32, WeightFormat::f32}, std::pair{WeightFormat::bf16, WeightFormat::bf16},
                    std::pair{WeightFormat::f16, WeightFormat::f16}, std::pair{WeightFormat::q8, WeightFormat::q8},
                    std::pair{WeightFormat::q4, WeightFormat::q4}, std::pair{WeightFormat::q4, WeightFormat::q8},
                    std::pair{WeightFormat::q5, WeightFormat::q5}, std::pair{WeightFormat::q6, WeightFormat::q6},
                    std::pair{WeightFormat::q5, WeightFormat::q4}),
    [](const auto& info) {
      return std::string(name_of(info.param.first)) + "_" + std::string(name_of(info.param.second));
    });

TEST_F(CudaLinearTest, PartsOfDifferentFormatsMatch) {
  constexpr std::int64_t all = 92;  // outputs
  for (const std::int64_t rows : {1, 4, 6, 30, 200}) {
    const std::vector<float> x = random_.normals(rows * 128);
    const Matrix matrices[] = {{random_, WeightFormat::q4, 33, 128},  {random_, WeightFormat::bf16, 20, 128},
                               {random_, WeightFormat::bf16, 9, 128}, {random_, WeightFormat::q8, 5, 128},
                               {random_, WeightFormat::q5, 7, 128},   {random_, WeightFormat::q6, 4, 128},
                               {random_, WeightFormat::f32, 1, 128},  {random_, WeightFormat::f16, 13, 128}};
    const auto solve = [&](Ops& ops) {
      std::vector<float> y(static_cast<std::size_t>(rows * all));
      std::vector<LinearPart> parts;
      float* to = y.data();
      for (const Matrix& matrix : matrices) {
        parts.push_back({matrix.view, nullptr, to, all});
        to += matrix.view.outputs;
      }
      ops.linear({x.data(), 128, rows, parts});
      return y;
    };
    SCOPED_TRACE(testing::Message() << "rows " << rows);
    expect_rows_near(solve(*ops_), solve(reference_), all, rows > 4 ? 6e-3 : 1e-5);
    expect_rows_near(solve(*exact_ops_), solve(reference_), all, 1e-5);
  }
}

// Dequantized in several stripes: 2^26 bytes hold 3276 rows of 10240 weights as bf16.
TEST_F(CudaLinearTest, WideMatricesAreDequantizedInStripes) {
  constexpr std::int64_t inputs = 10240;
  constexpr std::int64_t outputs = 3400;
  constexpr std::int64_t rows = 17;
  Matrix matrix(random_, WeightFormat::q8, 8, inputs);
  // The same 8 rows over and over: what is far down must be what is above.
  std::vector<std::byte> values;
  std::vector<F16> scales;
  for (std::int64_t i = 0; i < outputs / 8; ++i) {
    values.insert(values.end(), matrix.bytes.begin(), matrix.bytes.end());
    scales.insert(scales.end(), matrix.scales.begin(), matrix.scales.end());
  }
  const WeightView view{values.data(), scales.data(), WeightFormat::q8, outputs, inputs};
  const std::vector<float> x = random_.normals(rows * inputs);
  std::vector<float> y(static_cast<std::size_t>(rows * outputs));
  const LinearPart part{view, nullptr, y.data(), outputs};
  ops_->linear({x.data(), inputs, rows, std::span(&part, 1)});
  std::vector<float> few(static_cast<std::size_t>(rows * 8));
  const LinearPart reference_part{matrix.view, nullptr, few.data(), 8};
  reference_.linear({x.data(), inputs, rows, std::span(&reference_part, 1)});
  std::vector<float> expected;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < outputs / 8; ++i) {
      expected.insert(expected.end(), few.begin() + row * 8, few.begin() + (row + 1) * 8);
    }
  }
  expect_rows_near(y, expected, outputs, 1e-2);
}

// More rows than are converted at a time.
TEST_F(CudaLinearTest, VeryManyRowsMatch) {
  compare(WeightFormat::bf16, 64, 8300, false);
}

TEST_F(CudaLinearTest, FewRowsGiveEachRowTheSameBitsInAnyBatch) {
  for (const WeightFormat format : all_formats) {
    for (const std::int64_t inputs : {32, 96, 512, 1120, 2560}) {
      expect_same_rows(format, inputs, 4, format == WeightFormat::bf16 ? Counts{2, 3} : Counts{1, 2, 3});
    }
  }
}

TEST_F(CudaLinearTest, SeveralRowsGiveEachRowTheSameBitsInAnyBatch) {
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::f16}) {
    for (const std::int64_t inputs : {8, 40, 96, 512, 1120, 2560}) {
      expect_same_rows(format, inputs, 64, {5, 8, 13, 16, 17, 31, 32, 33, 63});
    }
  }
}

#ifdef PRECIS_HAS_CUDA
// Which kernel has them decides their bits, so it must not be their number. Needs no GPU.
TEST(CudaSeveralRowsTest, MatricesDecideWhetherFewRowsAreExact) {
  for (const std::int32_t inputs : {2560, 6400, 8192, 14336, 65536}) {
    for (const std::int32_t outputs : {64, 2560, 28672}) {
      std::vector<bool> fits;
      for (std::int32_t rows = 2; rows <= cuda::several_exact_rows; ++rows) {
        cuda::SeveralRows several{.rows = rows, .inputs = inputs, .count = 1};
        several.parts[0].outputs = outputs;
        cuda::share_inputs(several);
        fits.push_back(cuda::has_exact_room(several));
      }
      EXPECT_EQ(fits, std::vector<bool>(fits.size(), fits.front())) << inputs << " inputs, " << outputs << " outputs";
    }
  }
}
#endif

}  // namespace
}  // namespace precis
