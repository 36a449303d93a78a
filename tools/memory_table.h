// What `precis memory` prints of its plans: a table, one context in full, CSV and JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "memory_measure.h"
#include "precis/memory_plan.h"

namespace precis {

// What fits a number of bytes.
struct MemoryFit {
  std::int64_t bytes = 0;
  std::int64_t sequences = 0;                                   // that the context is for
  std::int64_t context = 0;                                     // the largest
  std::vector<std::pair<std::int64_t, std::int64_t>> parallel;  // context, sequences at once at most
};

// One model.
struct MemoryAnswer {
  std::string name;  // as it was given
  std::string family;
  std::string backend;
  std::string kv_type;                   // "bf16"
  std::vector<MemoryPlan> plans;         // by context
  std::vector<MeasuredMemory> measured;  // beside these; none: not asked for
  std::optional<MemoryFit> fit;
};

std::string memory_text(const std::vector<MemoryAnswer>& answers);
std::string memory_csv(const std::vector<MemoryAnswer>& answers);
std::string memory_json(const std::vector<MemoryAnswer>& answers);
// K and V over the context, all answers in one picture, as an SVG.
std::string memory_svg(const std::vector<MemoryAnswer>& answers);

}  // namespace precis
