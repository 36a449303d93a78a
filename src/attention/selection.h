// What efficient selective attention leaves out of a layer's visible sets: docs/esa.md, "In the engine". Arithmetic
// only.
#pragma once

#include <cstdint>
#include <optional>

#include "attention/layer_rule.h"
#include "device/select_args.h"

namespace precis {

enum class EsaPositions : std::uint8_t { absolute, fixed, packed };

struct EsaRule {
  std::int64_t initial = 128;  // entries from a track's begin on that are always attended to
  std::int64_t local = 4096;   // before a run's first row
  std::int64_t top = 2048;     // chosen of those between
  std::int64_t proximity = 1;  // entries to either side that an entry's score counts for
  std::int64_t dim = 128;      // of the short vectors
  EsaPositions positions = EsaPositions::absolute;
  bool summaries = false;  // summary layers choose too, among summaries; else full layers alone

  // Rows that see no more earlier entries than this see them all.
  std::int64_t all() const { return initial + local + top; }
};

enum class Chosen : std::uint8_t { none, texts, summaries };

// What rows of a layer choose among.
Chosen chosen_in(const EsaRule& esa, const LayerRule& rule);

// What text rows [from, to), computed together, pick in a layer with `rule`; nothing where they see all that they
// could. first_row, rows, track, first_page and distance are left as they are.
std::optional<PickRun> pick_of(const EsaRule& esa, const LayerRule& rule, const ChunkShape& chunk, std::int64_t from,
                               std::int64_t to);

// What text token `text` of these rows sees: the picked entries in place of the summary track.
RowBounds picked_row_bounds(const PickRun& pick, const LayerRule& rule, const ChunkShape& chunk, std::int64_t text);

// Picked entries of a run of `rows` rows, at most.
std::int64_t most_picked(const EsaRule& esa, const ChunkShape& chunk, std::int64_t rows);

}  // namespace precis
