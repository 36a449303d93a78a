// What computing costs, counted from the model's sizes and from who sees what: nothing is measured.
#pragma once

namespace precis {

struct StepCost {
  // Read from memory. Once a step: every weight that the step uses (of the embedding only a tied head; a row a token is
  // not counted) and, for each sequence, the K and V entries that any of its rows sees. Writes and activations are not
  // counted.
  double bytes = 0;
  // Of the products with weights and of attention's scores and sums; a multiply-add counts as two. Norms, rotation,
  // softmax and activation are not counted.
  double flops = 0;

  StepCost& operator+=(const StepCost& other) {
    bytes += other.bytes;
    flops += other.flops;
    return *this;
  }
};

}  // namespace precis
