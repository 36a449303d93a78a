// What a decoder is told about one step: the rows, where their K and V go and what they see. Host memory.
#pragma once

#include <cstdint>
#include <vector>

#include "device/attention_args.h"
#include "device/ops.h"

namespace precis {

// Stands for the id that the step launched before draws for its `row`th logit row.
inline std::int32_t unseen_id(std::int32_t row) {
  return -1 - row;
}

// Rows: the text rows of all sequences first, then the summary rows of all sequences; rows of one sequence and kind
// follow each other in order. Pages are known by number only.
struct StepInputs {
  std::int64_t text_rows = 0;
  std::vector<std::int32_t> ids;                 // [rows]: rows of the embedding table, or unseen_id()
  std::vector<std::int32_t> positions;           // [rows]: for the rotation
  std::vector<std::vector<RowBounds>> bounds;    // [rules][rows]
  std::vector<std::vector<std::int64_t>> slots;  // [groups][rows]: where K and V go
  std::vector<std::vector<RowRun>> runs;         // [groups]: pages by sequence, in host memory
  std::vector<std::vector<PickRun>> picks;       // [groups]: of those runs that pick, in their order
  std::vector<std::int32_t> picked_pages;        // 0, 1, 2, ...: what runs that have picked point into
  std::vector<std::int32_t> logit_rows;          // rows whose logits are wanted, ascending
  std::vector<DrawOptions> draws;                // beside logit_rows; none where no row wants anything
  std::vector<PageCopy> copies;                  // before anything is written

  std::int64_t rows() const { return static_cast<std::int64_t>(ids.size()); }
};

}  // namespace precis
