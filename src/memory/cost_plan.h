// What steps read and compute, by the same visible sets that they are made of.
#pragma once

#include <cstdint>
#include <vector>

#include "kv/kv_geometry.h"
#include "model/model_spec.h"
#include "model/weights.h"
#include "precis/step_cost.h"

namespace precis {

// Summaries count in the step that completes their chunk (EngineOptions::summary_delay 0).
class CostPlan {
 public:
  CostPlan(const ModelSpec& spec, const KvGeometry& geometry, const WeightReads& weights);

  // Text tokens [depth, depth + tokens) of a prompt in steps of at most `piece`; logits of the last token.
  StepCost prompt(std::int64_t depth, std::int64_t tokens, std::int64_t piece) const;
  // `tokens` steps in which each of `sequences` sequences of `depth` tokens grows by one; logits of each.
  StepCost answer(std::int64_t depth, std::int64_t tokens, std::int64_t sequences) const;

 private:
  // Text rows [from, to) of one sequence, and the summary rows of the chunks that they complete.
  struct Rows {
    std::int64_t from;
    std::int64_t to;
    bool logits;  // of the last text row
  };

  // Without the weights, which the sequences of a step share.
  StepCost rows(const Rows& rows) const;
  StepCost attention(const Rows& rows, const LayerRule& rule) const;
  // What choosing costs beside it, and the copies of what is chosen.
  StepCost selection(const Rows& rows, const LayerRule& rule) const;
  double products(const Rows& rows) const;
  double weight_bytes(const Rows& rows) const;
  std::int64_t summary_rows(const Rows& rows) const;

  const ModelSpec& spec_;
  WeightReads weights_;
  std::int64_t entry_bytes_;
  std::int64_t short_bytes_;
  std::vector<std::int64_t> layers_of_rule_;
};

}  // namespace precis
