// What operations prepare for the product that takes their results next: the product is the same as without.
#include <numeric>
#include <tuple>

#include "gpu.h"

namespace precis {
namespace {

class CudaPreparedTest : public GpuTest {
 protected:
  static constexpr float epsilon = 1e-5F;

  // Memory of the device that holds these.
  template <typename T>
  T* put(const std::vector<T>& host) {
    const auto bytes = static_cast<std::int64_t>(host.size() * sizeof(T));
    memory_.push_back(device_->allocate(bytes));
    device_->ops().to_device(memory_.back().as(), host.data(), bytes);
    return reinterpret_cast<T*>(memory_.back().as());
  }
  float* floats(std::int64_t count) { return put(random_.normals(count)); }
  WeightView matrix(WeightFormat format, std::int64_t outputs, std::int64_t inputs) {
    const Matrix host(random_, format, outputs, inputs);
    WeightView view = host.view;
    const auto* bytes = host.view.data;
    view.data = put(std::vector<std::byte>(bytes, bytes + outputs * value_row_bytes(format, inputs)));
    return view;
  }
  std::vector<float> read(const float* at, std::int64_t count) {
    const auto* from = static_cast<const float*>(device_->ops().on_host(at, count * 4));
    return {from, from + count};
  }

  std::vector<Buffer> memory_;
};

// An attention's output product, the MLP behind it and the next layer's first product: with what follows told, and not.
TEST_F(CudaPreparedTest, ProductsAreThoseOfRowsThatWereNot) {
  Ops& ops = device_->ops();
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::f16}) {
    for (const std::int64_t rows : {1, 4, 5, 8, 17, 32, 33, 64, 65}) {
      SCOPED_TRACE(testing::Message() << name_of(format) << " rows " << rows);
      constexpr std::int64_t hidden = 200;
      constexpr std::int64_t width = 264;
      constexpr std::int64_t attended = 1056;
      const WeightView output = matrix(format, hidden, attended);
      const LinearWeights gate{matrix(format, width, hidden)};
      const LinearWeights up{matrix(format, width, hidden)};
      const LinearWeights down{matrix(format, hidden, width)};
      const WeightView last = matrix(format, width, hidden);
      const float* x = floats(rows * attended);
      const InputNorm norm{floats(hidden), epsilon};
      const InputNorm next{floats(hidden), epsilon};
      const std::vector<float> residual = random_.normals(rows * hidden);
      float* gated = floats(rows * width);
      const auto solve = [&](bool told) {
        float* y = put(residual);
        float* z = floats(rows * width);
        const LinearPart part{output, nullptr, y, hidden};
        ops.linear({.x = x,
                    .x_stride = attended,
                    .rows = rows,
                    .parts = {&part, 1},
                    .accumulate = true,
                    .next = told ? norm : InputNorm{}});
        const std::vector<float> between = read(y, rows * hidden);
        ops.mlp({.x = y,
                 .rows = rows,
                 .gate = gate,
                 .up = up,
                 .down = down,
                 .norm = norm,
                 .gated = gated,
                 .next = told ? next : InputNorm{}});
        const LinearPart end{last, nullptr, z, width};
        ops.linear({.x = y, .x_stride = hidden, .rows = rows, .parts = {&end, 1}, .norm = next});
        return std::tuple(between, read(y, rows * hidden), read(z, rows * width));
      };
      const auto [between, after, end] = solve(false);
      const auto [told_between, told_after, told_end] = solve(true);
      expect_same_bits(told_between, between);
      expect_rows_near(told_after, after, hidden, 1e-2);
      expect_rows_near(told_end, end, width, 1e-2);
      EXPECT_TRUE(rows > 4 && rows <= 64 && format == WeightFormat::bf16 ? told_end != end : told_end == end);
    }
  }
}

TEST_F(CudaPreparedTest, RowsThatAreWrittenToAreNotPrepared) {
  Ops& ops = device_->ops();
  constexpr std::int64_t rows = 8;
  constexpr std::int64_t hidden = 128;
  const WeightView square = matrix(WeightFormat::bf16, hidden, hidden);
  const WeightView table = matrix(WeightFormat::bf16, rows, hidden);
  const InputNorm norm{floats(hidden), epsilon};
  const std::int32_t* ids = put(std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6, 7});
  float* y = floats(rows * hidden);
  float* z = floats(rows * hidden);
  const LinearPart into{square, nullptr, y, hidden};
  const LinearPart end{square, nullptr, z, hidden};
  const auto product = [&] {
    ops.linear({.x = y, .x_stride = hidden, .rows = rows, .parts = {&end, 1}, .norm = norm});
    return read(z, rows * hidden);
  };
  const auto prepare = [&] {
    const float* x = floats(rows * hidden);
    ops.linear({.x = x, .x_stride = hidden, .rows = rows, .parts = {&into, 1}, .accumulate = true, .next = norm});
  };
  ops.embed({ids, table, y, rows});
  const std::vector<float> expected = product();
  prepare();
  ops.embed({ids, table, y, rows});
  expect_same_bits(product(), expected);
  prepare();
  ops.gather({put(read(y, rows * hidden)), ids, y, rows, hidden});
  const std::vector<float> gathered = product();
  prepare();
  const std::vector<float> values = read(y, rows * hidden);
  const float* x = floats(rows * hidden);
  ops.linear({.x = x, .x_stride = hidden, .rows = rows, .parts = {&into, 1}, .accumulate = true});  // tells nothing
  EXPECT_NE(read(y, rows * hidden), values);
  const std::vector<float> of_sum = product();
  ops.to_device(y, read(y, rows * hidden).data(), rows * hidden * 4);
  expect_rows_near(product(), of_sum, hidden, 1e-2);
  EXPECT_NE(of_sum, gathered);
}

// Rows of sequences that decode, each behind a few entries.
TEST_F(CudaPreparedTest, AttentionsResultsAreThoseThatAreMultiplied) {
  Ops& ops = device_->ops();
  constexpr std::int64_t heads = 4;
  constexpr std::int64_t kv_heads = 2;
  constexpr std::int64_t head_dim = 64;
  constexpr std::int64_t entries = 16;
  constexpr std::int64_t page_bytes = 2 * kv_heads * entries * head_dim * 2;
  constexpr std::int64_t width = heads * head_dim;
  for (const std::int32_t rows : {5, 32, 64}) {
    SCOPED_TRACE(rows);
    // Random bf16 of moderate size.
    std::vector<std::uint16_t> pages(static_cast<std::size_t>(rows * page_bytes / 2));
    for (std::uint16_t& bits : pages) bits = static_cast<std::uint16_t>(0x3e00 + random_.between(0, 0x1ff));
    KvView kv{.base = reinterpret_cast<std::byte*>(put(pages)),
              .page_bytes = page_bytes,
              .layer_offset = 0,
              .value_offset = page_bytes / 2,
              .page_entries = entries,
              .kv_heads = kv_heads,
              .head_dim = head_dim};
    std::vector<std::int32_t> table(static_cast<std::size_t>(rows));
    std::iota(table.begin(), table.end(), 0);
    const std::int32_t* tables = put(table);
    std::vector<RowRun> runs;
    std::vector<RowBounds> bounds;
    for (std::int32_t row = 0; row < rows; ++row) {
      runs.push_back({.first_row = row, .rows = 1, .text = {tables + row, 0, 1}, .summary = {}});
      bounds.push_back({.text = {0, static_cast<std::int32_t>(random_.between(1, entries))}, .summary = {}});
    }
    const float* q = floats(rows * width);
    float* out = floats(rows * width);
    const WeightView matrix = this->matrix(WeightFormat::bf16, 72, width);
    const auto solve = [&](const WeightView& next) {
      float* y = floats(rows * 72);
      ops.attention({.q = q,
                     .q_stride = width,
                     .out = out,
                     .heads = heads,
                     .scale = 0.125F,
                     .kv = kv,
                     .runs = runs,
                     .device_runs = put(runs),
                     .bounds = put(bounds),
                     .next = next});
      const LinearPart part{matrix, nullptr, y, 72};
      ops.linear({.x = out, .x_stride = width, .rows = rows, .parts = {&part, 1}});
      return std::pair(read(out, rows * width), read(y, rows * 72));
    };
    const auto [attended, product] = solve({});
    const auto [told_attended, told_product] = solve(matrix);
    expect_same_bits(told_attended, attended);
    expect_same_bits(told_product, product);
  }
}

}  // namespace
}  // namespace precis
