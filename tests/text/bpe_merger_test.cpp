#include "text/bpe_merger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace precis {
namespace {

using Symbols = std::vector<std::int32_t>;
using Pair = std::pair<std::int32_t, std::int32_t>;

// The definition: find the lowest rank, leftmost, merge it, begin again.
Symbols merged_naively(Symbols symbols, const std::map<Pair, std::pair<int, std::int32_t>>& merges) {
  for (;;) {
    std::size_t best = symbols.size();
    int best_rank = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = merges.find({symbols[i], symbols[i + 1]});
      if (found == merges.end() || (best < symbols.size() && found->second.first >= best_rank)) continue;
      best = i;
      best_rank = found->second.first;
    }
    if (best == symbols.size()) return symbols;
    symbols[best] = merges.at({symbols[best], symbols[best + 1]}).second;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

// Random merges, not in the order in which training would have found them: a merge may have a lower rank than those
// that make its parts.
TEST(BpeMerger, EqualsTheDefinitionOnRandomMerges) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const int letters = 1 + static_cast<int>(random() % 4);
    std::vector<std::string> texts;
    for (int i = 0; i < letters; ++i) texts.emplace_back(1, static_cast<char>('a' + i));
    std::map<std::string, std::int32_t> ids;
    for (const std::string& text : texts) ids.emplace(text, static_cast<std::int32_t>(ids.size()));
    std::vector<Pair> pairs;
    for (int i = 0; i < 12; ++i) {
      const std::string& left = texts[random() % texts.size()];
      const std::string& right = texts[random() % texts.size()];
      const Pair pair = {ids.at(left), ids.at(right)};
      if (std::find(pairs.begin(), pairs.end(), pair) != pairs.end()) continue;
      pairs.push_back(pair);
      const std::string joined = left + right;
      if (ids.emplace(joined, static_cast<std::int32_t>(ids.size())).second) texts.push_back(joined);
    }
    std::shuffle(pairs.begin(), pairs.end(), random);
    std::vector<std::string> text_of(ids.size());
    for (const auto& [text, id] : ids) text_of[static_cast<std::size_t>(id)] = text;
    BpeMerger merger;
    std::map<Pair, std::pair<int, std::int32_t>> merges;
    for (const Pair& pair : pairs) {
      const std::int32_t merged =
          ids.at(text_of[static_cast<std::size_t>(pair.first)] + text_of[static_cast<std::size_t>(pair.second)]);
      merges[pair] = {static_cast<int>(merges.size()), merged};
      merger.add(pair.first, pair.second, merged, static_cast<std::uint32_t>(merges.at(pair).first));
    }
    for (const std::size_t length : {0u, 1u, 2u, 3u, 7u, 31u, 32u, 33u, 34u, 200u}) {  // both ways of merging
      Symbols symbols;
      for (std::size_t i = 0; i < length; ++i) {
        symbols.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(letters)));
      }
      const Symbols expected = merged_naively(symbols, merges);
      merger.merge(symbols);
      ASSERT_EQ(symbols, expected) << "round " << round << ", length " << length;
    }
  }
}

TEST(BpeMerger, APairGivenTwiceKeepsTheLaterRank) {
  BpeMerger merger;
  merger.add(0, 1, 3, 0);  // ab
  merger.add(1, 2, 4, 1);  // bc
  merger.add(0, 1, 3, 2);
  Symbols symbols = {0, 1, 2};
  merger.merge(symbols);
  EXPECT_EQ(symbols, (Symbols{0, 4}));
}

}  // namespace
}  // namespace precis
