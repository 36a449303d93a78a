// The rows of a step: ids, positions, slots and visible sets of what the scheduler chose.
#pragma once

#include <span>
#include <vector>

#include "kv/kv_geometry.h"
#include "model/model_spec.h"
#include "model/step_inputs.h"
#include "runtime/sequence.h"

namespace precis {

// A row whose logits are wanted: the `item`th item of the step, and the index of the id that the logits follow.
struct LogitRow {
  std::size_t item;
  std::int64_t index;
};

struct Step {
  StepInputs inputs;
  std::vector<LogitRow> logits;  // beside inputs.logit_rows
};

// The sequences' pages must be prepared (Scheduler::next). The step points into their page tables.
Step build_step(std::span<const StepItem> items, const ModelSpec& spec, const KvGeometry& geometry);

}  // namespace precis
