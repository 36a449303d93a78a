// What ESA scores is what attention multiplies, before it is rotated.
#include "calibration/score_pass.h"

#include <gtest/gtest.h>

#include <random>

#include "backend/factory.h"
#include "checkpoint/checkpoint.h"
#include "families/families.h"
#include "support/random.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

std::vector<float> random_floats(Random& random, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(random.unit() - 0.5);
  return values;
}

// Placed with a rotation that turns nothing, q stays in its rows and k lies in the pages as both are scored.
TEST(ScoreRowsTest, AreWhatIsPlacedUnturned) {
  Random random(std::random_device{}());
  for (const bool norms : {false, true}) {
    for (const float mix : {0.0F, 0.3F}) {
      const std::int64_t kv_heads = random.between(1, 3);
      const std::int64_t group = random.between(1, 4);
      const std::int64_t heads = kv_heads * group;
      const std::int64_t head_dim = 2 * random.between(1, 20);
      const std::int64_t length = kv_heads * head_dim;
      const std::int64_t width = heads * head_dim + 2 * length;
      const std::int64_t texts = random.between(1, 9);
      const std::int64_t rows = texts + random.between(0, 4);
      std::vector<float> qkv = random_floats(random, rows * width);
      const std::vector<float> own = random_floats(random, (rows - texts) * width);
      const std::vector<float> q_norm = random_floats(random, head_dim);
      const std::vector<float> k_norm = random_floats(random, head_dim);
      std::vector<float> rotation;
      for (std::int64_t row = 0; row < rows; ++row) {
        rotation.insert(rotation.end(), static_cast<std::size_t>(head_dim / 2), 1.0F);
        rotation.insert(rotation.end(), static_cast<std::size_t>(head_dim / 2), 0.0F);
      }
      std::vector<std::int64_t> slots;
      for (std::int64_t row = 0; row < rows; ++row) slots.push_back(row);
      std::vector<float> page(static_cast<std::size_t>(2 * rows * length));
      PlaceArgs args{.qkv = qkv.data(),
                     .own = mix > 0 && rows > texts ? own.data() : nullptr,
                     .first_summary = texts,
                     .mix = mix,
                     .q_norm = norms ? q_norm.data() : nullptr,
                     .k_norm = norms ? k_norm.data() : nullptr,
                     .epsilon = 1e-5F,
                     .rotation = rotation.data(),
                     .slots = slots.data(),
                     .kv = {.base = reinterpret_cast<std::byte*>(page.data()),
                            .page_bytes = 2 * rows * length * 4,
                            .layer_offset = 0,
                            .value_offset = rows * length * 4,
                            .page_entries = rows,
                            .kv_heads = kv_heads,
                            .head_dim = head_dim,
                            .type = DType::f32},
                     .rows = rows,
                     .heads = heads};
      const auto device = open_backend("reference", {});
      const std::int64_t first_key = random.between(0, rows - 1);
      const ScoreRows scored = score_rows(device->ops(), args, first_key, rows - first_key);
      device->ops().place(args);
      ASSERT_EQ(scored.queries.size(), static_cast<std::size_t>(texts * length));
      ASSERT_EQ(scored.keys.size(), static_cast<std::size_t>((rows - first_key) * length));
      for (std::int64_t i = 0; i < texts * length; ++i) {
        const std::int64_t kv_head = i % length / head_dim;
        float sum = 0;
        for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
          sum += qkv[static_cast<std::size_t>(i / length * width + head * head_dim + i % head_dim)];
        }
        ASSERT_NEAR(scored.queries[static_cast<std::size_t>(i)], sum, 2e-5) << i;
      }
      for (std::int64_t i = 0; i < (rows - first_key) * length; ++i) {
        const auto* key = reinterpret_cast<const float*>(args.kv.key(0, i % length / head_dim, first_key + i / length));
        ASSERT_NEAR(scored.keys[static_cast<std::size_t>(i)], key[i % head_dim], 1e-5) << i;
      }
    }
  }
}

TEST(ScorePassTest, SummaryLayersShowSummaries) {
  for (const char* name : {"ksa-variants/base", "ksa-variants/mix-half", "families/qwen3"}) {
    SCOPED_TRACE(name);
    const Checkpoint checkpoint{Folder(data_folder() / name)};
    const ModelSpec spec = read_model_spec(checkpoint);
    const auto device = open_backend("cpu", {.threads = 2});
    Random random(std::random_device{}());
    TextWindows windows;
    for (const std::int64_t length : {50, 61, 1}) {
      auto& window = windows.emplace_back();
      for (std::int64_t i = 0; i < length; ++i) {
        window.push_back(static_cast<std::int32_t>(random.below(spec.vocabulary)));
      }
    }
    ScorePass pass(checkpoint, spec, *device, windows);
    const auto length = static_cast<std::size_t>(spec.kv_heads * spec.head_dim);
    for (std::int64_t layer = 0; layer < spec.layers; ++layer) {
      const LayerRule& rule = spec.rules[static_cast<std::size_t>(spec.rule_of_layer[static_cast<std::size_t>(layer)])];
      std::size_t next = 0;
      ASSERT_TRUE(pass.next_layer([&](std::size_t window, const ScoreRows& rows) {
        EXPECT_EQ(window, next++);
        const auto texts = static_cast<std::int64_t>(windows[window].size());
        const std::int64_t keys =
            rule.sight == Sight::summary ? spec.chunk.complete(texts) * spec.chunk.summary : texts;
        EXPECT_EQ(rows.queries.size(), static_cast<std::size_t>(texts) * length);
        EXPECT_EQ(rows.keys.size(), static_cast<std::size_t>(keys) * length);
        return true;
      }));
      EXPECT_EQ(next, windows.size());
    }
  }
}

TEST(ScorePassTest, StopsWhenTold) {
  const Checkpoint checkpoint{Folder(data_folder() / "families/qwen3")};
  const ModelSpec spec = read_model_spec(checkpoint);
  const auto device = open_backend("cpu", {.threads = 1});
  ScorePass pass(checkpoint, spec, *device, {{1, 2, 3}, {4, 5}});
  int calls = 0;
  EXPECT_FALSE(pass.next_layer([&](std::size_t, const ScoreRows&) {
    ++calls;
    return false;
  }));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace precis::test
