// Byte-pair merging (Sennrich et al. 2016): joins neighbouring symbols, lowest rank first, leftmost first among equals.
#pragma once

#include <cstdint>
#include <vector>

#include "text/flat_map.h"

namespace precis {

// Built once, then read by any number of threads.
class BpeMerger {
 public:
  void reserve(std::size_t merges) { pairs_.reserve(merges); }
  // Symbols `left` and `right` become `merged`. A pair given twice keeps the later merge, as in Hugging Face's
  // tokenizers.
  void add(std::int32_t left, std::int32_t right, std::int32_t merged, std::uint32_t rank);

  // Merges `symbols` until no pair has a merge. Time: O(n log n) at worst, close to linear on real texts.
  void merge(std::vector<std::int32_t>& symbols) const;

 private:
  static constexpr std::uint32_t no_rank = ~std::uint32_t{0};
  struct Merge {
    std::uint32_t rank = no_rank;
    std::int32_t merged = -1;
  };

  Merge find(std::int32_t left, std::int32_t right) const;
  void merge_short(std::vector<std::int32_t>& symbols) const;
  void merge_long(std::vector<std::int32_t>& symbols) const;

  FlatMap pairs_;  // left, right -> rank, merged
};

}  // namespace precis
