// What goes into a session: every entry that a snapshot can be asked for, from one pool into another.
#include "session/session_shape.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "attention/visible_set.h"
#include "support/random_spec.h"

namespace precis::test {
namespace {

// A pool with memory, from which a few pages are gone, so that ids differ between two of them. `apart`: K and V too.
struct Memory {
  Memory(const KvGeometry& like, bool apart, const PageCounts& pages, Random& random)
      : geometry(like),
        pool(pages.near + 40, apart ? 0 : pages.far + 40),
        near(static_cast<std::size_t>((pages.near + 40) * geometry.page_bytes())),
        far(static_cast<std::size_t>(geometry.far_bytes(pool.total_pages()))),
        short_keys(static_cast<std::size_t>(geometry.device_bytes({0, pool.total_pages().far}))),
        kv{near.data(), apart ? nullptr : far.data(), short_keys.data(), pool.total_pages()} {
    geometry.sides_apart = apart;
    for (auto* memory : {&near, &far, &short_keys}) {
      std::uint64_t bits = random.bits();
      for (std::byte& byte : *memory) byte = static_cast<std::byte>((bits = bits * 6364136223846793005U + 1) >> 56);
    }
    std::vector<PageId> taken;
    for (int i = 0; i < 40; ++i) {
      const PageId page = pool.take(apart || random.chance(0.5) ? PageKind::near : PageKind::far);
      (random.chance(0.5) ? held : taken).push_back(page);
    }
    for (const PageId page : taken) pool.release(page);
  }

  KvGeometry geometry;
  PagePool pool;
  std::vector<std::byte> near;
  std::vector<std::byte> far;
  std::vector<std::byte> short_keys;
  KvMemory kv;
  std::vector<PageId> held;
};

std::vector<std::byte> content(const std::vector<KvPart>& parts) {
  std::vector<std::byte> bytes;
  for (const KvPart& part : parts) bytes.insert(bytes.end(), part.at, part.at + part.bytes);
  return bytes;
}

void fill(const std::vector<KvPart>& parts, const std::vector<std::byte>& bytes) {
  const std::byte* from = bytes.data();
  for (const KvPart& part : parts) {
    std::memcpy(part.at, from, static_cast<std::size_t>(part.bytes));
    from += part.bytes;
  }
}

class SessionShapeTest : public testing::Test {
 protected:
  // One entry's K, V and, where `chosen`, k'.
  std::vector<std::byte> entry(const Memory& memory, const PageTable& table, std::int64_t layer, std::int64_t index,
                               bool chosen) const {
    const KvView view = memory.geometry.view(memory.kv, layer);
    const std::int64_t slot = table.slot(index);
    const std::int64_t page = slot / view.page_entries;
    std::vector<std::byte> bytes;
    const auto add = [&](const std::byte* at, std::int64_t size) { bytes.insert(bytes.end(), at, at + size); };
    for (std::int64_t head = 0; head < view.kv_heads; ++head) {
      const std::byte* key = view.key(page, head, slot % view.page_entries);
      add(key, view.head_dim * size_of(view.type));
      add(key + view.value_offset, view.head_dim * size_of(view.type));
    }
    if (chosen) add(view.short_key(page, slot % view.page_entries), geometry_.short_bytes());
    return bytes;
  }

  ModelSpec spec_;
  KvGeometry geometry_;
};

TEST_F(SessionShapeTest, EveryEntryThatIsSeenComesOver) {
  std::int64_t compared = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    spec_ = random_spec(random);
    SCOPED_TRACE(describe(spec_));
    if (random.chance(0.5)) spec_.esa = EsaRule{.dim = 3, .summaries = random.chance(0.5)};
    geometry_ = make_kv_geometry(spec_.rule_of_layer, random.pick<std::int64_t>({1, 3, 16}), 2, 2,
                                 random.pick<DType>({DType::f32, DType::bf16, DType::f8_e4m3}), spec_.esa ? 3 : 0);
    const bool offloads = spec_.esa && random.chance(0.5);
    const auto chosen_of = [&](std::size_t group) {
      const LayerRule& rule = spec_.rules[static_cast<std::size_t>(geometry_.groups[group].rule)];
      return spec_.esa ? chosen_in(*spec_.esa, rule) : Chosen::none;
    };
    for (std::size_t group = 0; offloads && group < geometry_.groups.size(); ++group) {
      if (chosen_of(group) == Chosen::texts) geometry_.groups[group].text_pages = PageKind::far;
    }
    if (offloads) geometry_.near_short = spec_.esa->summaries;
    const KvPlan plan(spec_, geometry_, 4);

    // A sequence as the scheduler leaves it, and the snapshot that somebody sets in on.
    const std::int64_t computed = random.between(1, 90);
    const std::int64_t lowest = plan.lowest_restart(computed - random.below(2));
    const std::int64_t tokens = random.between(std::max<std::int64_t>(lowest, 1), computed);
    const std::int64_t summarised = random.between(plan.summaries_due(tokens), spec_.chunk.complete(tokens));
    const PageCounts most = plan.peak_pages(computed, computed);
    Memory one(geometry_, !offloads && random.chance(0.5), most, random);
    Memory other(geometry_, !offloads && random.chance(0.5), most, random);
    SequenceKv kv(geometry_, one.pool);
    std::vector<PageCopy> copies;
    kv.prepare({.text_from = 0,
                .text_to = computed,
                .summary_from = 0,
                .summary_to = spec_.chunk.complete(computed) * spec_.chunk.summary},
               copies);
    for (std::size_t group = 0; group < kv.groups(); ++group) kv.trim(group, plan.kept_from(group, lowest));
    kv.truncate(tokens, summarised * spec_.chunk.summary);

    const SessionShape shape(spec_, one.geometry, plan, tokens, lowest, summarised);
    const SessionShape other_shape(spec_, other.geometry, plan, tokens, lowest, summarised);
    SequenceKv copy(geometry_, other.pool);
    shape.take(copy);
    EXPECT_EQ(copy.pages(), shape.pages());
    EXPECT_EQ(kv.pages(), shape.pages());
    const std::vector<std::byte> bytes = content(shape.parts(kv, one.kv));
    ASSERT_EQ(std::ssize(bytes), shape.bytes());
    fill(other_shape.parts(copy, other.kv), bytes);

    for (std::size_t group = 0; group < kv.groups(); ++group) {
      const LayerRule& rule = spec_.rules[static_cast<std::size_t>(geometry_.groups[group].rule)];
      const std::int64_t from = plan.kept_from(group, lowest).text_from;
      const std::int64_t summaries = keeps_summaries(rule) ? summarised * spec_.chunk.summary : 0;
      for (std::int64_t layer = 0; layer < geometry_.layers_per_group(); ++layer) {
        for (std::int64_t index = from; index < tokens; ++index, ++compared) {
          const bool chosen = chosen_of(group) == Chosen::texts;
          ASSERT_EQ(entry(one, kv.text(group), layer, index, chosen),
                    entry(other, copy.text(group), layer, index, chosen));
        }
        for (std::int64_t index = 0; index < summaries; ++index, ++compared) {
          const bool chosen = chosen_of(group) == Chosen::summaries;
          ASSERT_EQ(entry(one, kv.summary(group), layer, index, chosen),
                    entry(other, copy.summary(group), layer, index, chosen));
        }
      }
    }
  }
  EXPECT_GT(compared, 20000);
}

}  // namespace
}  // namespace precis::test
