// Products at the edges of tiles and blocks, for each instruction set of this machine; and the order in which AMX adds
// up products of bf16, which is what makes them the same in every tile.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <limits>

#include "cpu_fixture.h"

namespace precis {
namespace {

class CpuTilesTest : public CpuOpsTest {};

INSTANTIATE_TEST_SUITE_P(Isa, CpuTilesTest, testing::ValuesIn(cpu::available_kernels()),
                         [](const auto& info) { return std::string(info.param->name); });

std::vector<float> product(Ops& ops, const WeightView& weight, const std::vector<float>& x, std::int64_t first,
                           std::int64_t rows) {
  std::vector<float> y(static_cast<std::size_t>(rows * weight.outputs));
  const LinearPart part{weight, nullptr, y.data(), weight.outputs};
  ops.linear({x.data() + first * weight.inputs, weight.inputs, rows, std::span(&part, 1), false});
  return y;
}

std::vector<float> row_of(const std::vector<float>& y, std::int64_t row, std::int64_t outputs) {
  return {y.begin() + row * outputs, y.begin() + (row + 1) * outputs};
}

// Rows, each computed alone, are the rows of every batch of the first of them.
void expect_rows_alone(Ops& ops, const WeightView& weight, const std::vector<float>& x, std::int64_t most) {
  std::vector<std::vector<float>> alone;
  for (std::int64_t row = 0; row < most; ++row) alone.push_back(product(ops, weight, x, row, 1));
  for (std::int64_t rows = 2; rows <= most; ++rows) {
    const std::vector<float> y = product(ops, weight, x, 0, rows);
    for (std::int64_t row = 0; row < rows; ++row) {
      SCOPED_TRACE(testing::Message() << "row " << row << " of " << rows);
      expect_same_bits(row_of(y, row, weight.outputs), alone[static_cast<std::size_t>(row)]);
    }
  }
}

TEST_P(CpuTilesTest, EveryNumberOfRowsGivesTheSameBits) {
  constexpr std::int64_t most = 40;
  const std::pair<WeightFormat, std::vector<std::int64_t>> cases[] = {
      {WeightFormat::bf16, {1, 31, 33, 64, 95, 512, 545, 1120}},
      {WeightFormat::q8, {32, 224, 288, 512, 544, 1056}},
      {WeightFormat::q6, {32, 224, 288, 544}},
      {WeightFormat::q5, {32, 224, 288, 544}},
      {WeightFormat::q4, {32, 224, 288, 512, 544, 1056}}};
  for (const auto& [format, widths] : cases) {
    for (const std::int64_t inputs : widths) {
      const std::vector<float> x = random_.normals(most * inputs);
      for (const std::int64_t outputs : {1, 15, 16, 17, 33, 48}) {
        SCOPED_TRACE(testing::Message() << name_of(format) << " inputs " << inputs << " outputs " << outputs);
        const Matrix matrix(random_, format, outputs, inputs);
        expect_rows_alone(ops_, matrix.view, x, most);
      }
    }
  }
}

// What is not finite, or not normal, stays in its own row.
TEST_P(CpuTilesTest, RowsKeepToThemselves) {
  constexpr std::int64_t most = 20;
  constexpr std::int64_t inputs = 576;
  constexpr std::int64_t outputs = 37;
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const WeightFormat format :
       {WeightFormat::bf16, WeightFormat::q8, WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    SCOPED_TRACE(name_of(format));
    const Matrix matrix(random_, format, outputs, inputs);
    const std::vector<float> plain = random_.normals(most * inputs);
    for (const float strange : {std::nanf(""), infinity, -infinity, 1e-41F, 3e38F}) {
      std::vector<float> x = plain;
      const std::int64_t row = random_.between(0, most - 1);
      x[static_cast<std::size_t>(row * inputs + random_.between(0, inputs - 1))] = strange;
      const std::vector<float> expected = product(ops_, matrix.view, plain, 0, most);
      const std::vector<float> actual = product(ops_, matrix.view, x, 0, most);
      const std::vector<float> alone = product(ops_, matrix.view, x, row, 1);
      for (std::int64_t r = 0; r < most; ++r) {
        if (r == row) continue;
        expect_same_bits(row_of(actual, r, outputs), row_of(expected, r, outputs));
      }
      for (std::int64_t o = 0; o < outputs; ++o) {
        const float both[] = {actual[static_cast<std::size_t>(row * outputs + o)], alone[static_cast<std::size_t>(o)]};
        if (std::isnan(both[1])) {
          EXPECT_TRUE(std::isnan(both[0])) << strange;
        } else {
          EXPECT_EQ(std::bit_cast<std::uint32_t>(both[0]), std::bit_cast<std::uint32_t>(both[1])) << strange;
        }
        EXPECT_TRUE(std::isfinite(strange) || !std::isfinite(both[1])) << strange;
      }
    }
  }
}

// Memory behind which there is none.
class LastPage {
 public:
  explicit LastPage(std::size_t bytes) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    held_ = (bytes + page - 1) / page * page;
    mapped_ = held_ + page;
    void* memory = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(memory);
    mprotect(base_ + held_, page, PROT_NONE);
  }
  ~LastPage() { munmap(base_, mapped_); }
  LastPage(const LastPage&) = delete;
  LastPage& operator=(const LastPage&) = delete;

  // The last so many bytes.
  std::byte* last(std::size_t bytes) const { return base_ + held_ - bytes; }

 private:
  std::byte* base_;
  std::size_t held_;
  std::size_t mapped_;
};

// Tiles are loaded by instructions that AddressSanitizer does not see.
TEST_P(CpuTilesTest, NothingIsReadBehindAMatrix) {
  const std::pair<WeightFormat, std::vector<std::int64_t>> cases[] = {
      {WeightFormat::bf16, {1, 30, 33, 64, 95, 512, 545}},
      {WeightFormat::q8, {32, 224, 544}},
      {WeightFormat::q6, {32, 224, 544}},
      {WeightFormat::q5, {32, 224, 544}},
      {WeightFormat::q4, {32, 224, 544}}};
  for (const auto& [format, widths] : cases) {
    for (const std::int64_t inputs : widths) {
      for (const std::int64_t outputs : {1, 15, 16, 17, 33, 48}) {
        const Matrix matrix(random_, format, outputs, inputs);
        const LastPage values(matrix.bytes.size());
        const std::size_t scale_bytes = matrix.scales.size() * sizeof(F16);
        const LastPage scales(scale_bytes);
        WeightView view = matrix.view;
        view.data = values.last(matrix.bytes.size());
        std::memcpy(values.last(matrix.bytes.size()), matrix.bytes.data(), matrix.bytes.size());
        if (scale_bytes > 0) {
          view.scales = reinterpret_cast<const F16*>(scales.last(scale_bytes));
          std::memcpy(scales.last(scale_bytes), matrix.scales.data(), scale_bytes);
        }
        for (const std::int64_t rows : {1, 3, 9, 33}) {
          const std::vector<float> x = random_.normals(rows * inputs);
          expect_same_bits(product(ops_, view, x, 0, rows), product(ops_, matrix.view, x, 0, rows));
        }
      }
    }
  }
}

bool multiplies_tiles(const cpu::Kernels* kernels) {
  return std::string(kernels->name) == "amx";
}

// As the processor's manual has it for TDPBF16PS: numbers that are not normal are zero, before and after.
float normal_or_zero(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0F, value) : value;
}

// 512 inputs at a time, as 16 lines of 16 pairs: of the first pair of each line the even inputs, line by line, the odd
// ones, and both onto the sum; then of the second pair, and so on.
float tile_sum(const std::vector<float>& weights, const std::vector<float>& x) {
  float sum = 0;
  for (std::size_t square = 0; square < x.size(); square += 512) {
    for (std::size_t pair = 0; pair < 16; ++pair) {
      float parts[2] = {};
      for (std::size_t line = 0; line < 16; ++line) {
        for (std::size_t half = 0; half < 2; ++half) {
          const std::size_t i = square + 32 * line + 2 * pair + half;
          if (i >= x.size()) continue;
          float& part = parts[half];
          part = normal_or_zero(std::fma(normal_or_zero(weights[i]), normal_or_zero(x[i]), part));
        }
      }
      sum = normal_or_zero(sum + normal_or_zero(parts[0] + parts[1]));
    }
  }
  return sum + 0.0F;  // what was too small is no -0
}

TEST_P(CpuTilesTest, HalvesAreAddedUpInTheTilesOrder) {
  if (!multiplies_tiles(GetParam())) GTEST_SKIP() << "has no tiles";
  const auto rounded = [](float value) { return to_float(to_bf16(normal_or_zero(value))); };
  for (const std::int64_t inputs : {1, 2, 31, 64, 77, 511, 512, 545, 1024, 1600}) {
    constexpr std::int64_t outputs = 35;
    const Matrix matrix(random_, WeightFormat::bf16, outputs, inputs);
    const auto* weights = reinterpret_cast<const Bf16*>(matrix.bytes.data());
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 8, 17, 50}) {
      std::vector<float> x = random_.normals(rows * inputs);
      // Products at the edge of what is normal, now and then.
      const float scale = random_.between(0, 2) == 0 ? 2e-38F : 1.0F;
      for (float& value : x) value *= scale;
      std::vector<float> expected;
      for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t output = 0; output < outputs; ++output) {
          std::vector<float> w;
          std::vector<float> v;
          for (std::int64_t i = 0; i < inputs; ++i) {
            w.push_back(to_float(weights[output * inputs + i]));
            v.push_back(rounded(x[static_cast<std::size_t>(row * inputs + i)]));
          }
          expected.push_back(tile_sum(w, v));
        }
      }
      SCOPED_TRACE(testing::Message() << "inputs " << inputs << " rows " << rows);
      expect_same_bits(product(ops_, matrix.view, x, 0, rows), expected);
    }
  }
}

}  // namespace
}  // namespace precis
