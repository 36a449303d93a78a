#include "kv/kv_geometry.h"

#include <gtest/gtest.h>

#include <set>

namespace precis::test {
namespace {

// `([128]*3+[16768]*1)*9`: three summary layers, then a full one.
std::vector<std::int32_t> ksa_4b() {
  std::vector<std::int32_t> rule_of_layer;
  for (int block = 0; block < 9; ++block) rule_of_layer.insert(rule_of_layer.end(), {0, 0, 0, 1});
  return rule_of_layer;
}

// Each layer in one group, groups of equal size, each of one rule, layers ascending.
void expect_partition(const KvGeometry& geometry, const std::vector<std::int32_t>& rule_of_layer) {
  std::set<std::int32_t> seen;
  for (const KvGroup& group : geometry.groups) {
    EXPECT_EQ(static_cast<std::int64_t>(group.layers.size()), geometry.layers_per_group());
    EXPECT_TRUE(std::is_sorted(group.layers.begin(), group.layers.end()));
    for (const std::int32_t layer : group.layers) {
      EXPECT_EQ(rule_of_layer[static_cast<std::size_t>(layer)], group.rule);
      EXPECT_TRUE(seen.insert(layer).second) << "layer " << layer << " is in two groups";
    }
  }
  EXPECT_EQ(seen.size(), rule_of_layer.size());
}

TEST(KvGeometryTest, Ksa4bFormsGroupsOfNine) {
  const KvGeometry geometry = make_kv_geometry(ksa_4b(), 16, 8, 128, DType::bf16);
  expect_partition(geometry, ksa_4b());
  ASSERT_EQ(geometry.groups.size(), 4U);
  EXPECT_EQ(geometry.layers_per_group(), 9);
  EXPECT_EQ(geometry.entry_bytes(), 4096);
  EXPECT_EQ(geometry.page_bytes(), 16 * 9 * 4096);
  EXPECT_EQ(geometry.groups[3].layers, (std::vector<std::int32_t>{3, 7, 11, 15, 19, 23, 27, 31, 35}));
}

TEST(KvGeometryTest, DenseModelsAreOneGroup) {
  const std::vector<std::int32_t> rule_of_layer(32, 0);
  const KvGeometry geometry = make_kv_geometry(rule_of_layer, 32, 8, 128, DType::f32);
  expect_partition(geometry, rule_of_layer);
  EXPECT_EQ(geometry.groups.size(), 1U);
  EXPECT_EQ(geometry.page_bytes(), std::int64_t{32} * 32 * 2 * 8 * 128 * 4);
}

TEST(KvGeometryTest, CountsWithoutACommonDivisorMakeGroupsOfOneLayer) {
  const std::vector<std::int32_t> rule_of_layer{0, 1, 0, 1, 0};
  const KvGeometry geometry = make_kv_geometry(rule_of_layer, 4, 2, 8, DType::bf16);
  expect_partition(geometry, rule_of_layer);
  EXPECT_EQ(geometry.groups.size(), 5U);
}

TEST(KvGeometryTest, ThreeRules) {
  const std::vector<std::int32_t> rule_of_layer{2, 0, 1, 1, 0, 0, 2, 0, 1, 1};
  const KvGeometry geometry = make_kv_geometry(rule_of_layer, 4, 2, 8, DType::bf16);
  expect_partition(geometry, rule_of_layer);
  EXPECT_EQ(geometry.layers_per_group(), 2);
}

// K and V of every layer, head and entry lie in their page's part of the layer's memory, and none on another: K and V
// of a page side by side, or K of all pages before V.
TEST(KvGeometryTest, ViewsOfAPageDoNotOverlap) {
  for (const DType type : {DType::bf16, DType::f32}) {
    for (const bool apart : {false, true}) {
      KvGeometry geometry = make_kv_geometry(std::vector<std::int32_t>(3, 0), 5, 2, 4, type);
      geometry.sides_apart = apart;
      std::vector<std::byte> memory(static_cast<std::size_t>(2 * geometry.page_bytes()));
      std::set<std::ptrdiff_t> starts;
      for (std::int64_t layer = 0; layer < 3; ++layer) {
        const KvView view = geometry.view({.near = memory.data(), .pages = {2, 0}}, layer);
        for (std::int64_t page = 0; page < 2; ++page) {
          for (std::int64_t head = 0; head < 2; ++head) {
            for (std::int64_t entry = 0; entry < 5; ++entry) {
              const std::byte* key = view.key(page, head, entry);
              for (const std::int64_t side : {0, 1}) {
                const std::ptrdiff_t offset = key + side * view.value_offset - memory.data();
                EXPECT_EQ(offset % (4 * size_of(type)), 0);
                EXPECT_EQ(offset / geometry.side_bytes(), 4 * layer + (apart ? 2 * side + page : 2 * page + side));
                EXPECT_TRUE(starts.insert(offset).second);
              }
            }
          }
        }
      }
      EXPECT_EQ(static_cast<std::int64_t>(starts.size()) * 4 * size_of(type), 2 * geometry.page_bytes());
    }
  }
}

// The same of near and far pages, and of k' wherever it lies: every byte has one place, and that is in its own memory.
TEST(KvGeometryTest, ViewsOfNearAndFarPagesDoNotOverlap) {
  for (const bool near_short : {true, false}) {
    for (const DType type : {DType::bf16, DType::f32}) {
      KvGeometry geometry = make_kv_geometry(std::vector<std::int32_t>(3, 0), 5, 2, 4, type, 6);
      geometry.near_short = near_short;
      const PageCounts pages{2, 3};
      std::vector<std::byte> near(static_cast<std::size_t>(geometry.device_bytes({2, 0})));
      std::vector<std::byte> far(static_cast<std::size_t>(geometry.far_bytes(pages)));
      std::vector<std::byte> short_keys(static_cast<std::size_t>(geometry.device_bytes({0, 3})));
      EXPECT_EQ(geometry.device_bytes(pages), static_cast<std::int64_t>(near.size() + short_keys.size()));
      EXPECT_EQ(far.size(), 3 * 3 * 5 * static_cast<std::size_t>(geometry.entry_bytes()));
      std::set<const std::byte*> starts;
      const auto expect_in = [&](const std::vector<std::byte>& memory, const std::byte* at, std::int64_t bytes) {
        EXPECT_GE(at, memory.data());
        EXPECT_LE(at + bytes, memory.data() + memory.size());
        for (std::int64_t i = 0; i < bytes; ++i) EXPECT_TRUE(starts.insert(at + i).second);
      };
      for (std::int64_t layer = 0; layer < 3; ++layer) {
        const KvView view = geometry.view({near.data(), far.data(), short_keys.data(), pages}, layer);
        for (std::int64_t page = 0; page < pages.all(); ++page) {
          for (std::int64_t entry = 0; entry < 5; ++entry) {
            for (std::int64_t head = 0; head < 2; ++head) {
              const std::byte* key = view.key(page, head, entry);
              expect_in(page < 2 ? near : far, key, 4 * size_of(type));
              expect_in(page < 2 ? near : far, key + view.value_offset, 4 * size_of(type));
            }
            if (page < 2 && !near_short) continue;
            expect_in(page < 2 ? near : short_keys, view.short_key(page, entry), geometry.short_bytes());
          }
        }
      }
      if (near_short) continue;
      EXPECT_EQ(starts.size(), near.size() + far.size() + short_keys.size());
    }
  }
}

}  // namespace
}  // namespace precis::test
