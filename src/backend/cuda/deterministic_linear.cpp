// Products in deterministic mode: by which kernel a row is multiplied follows from the matrices alone.
//
// bf16 and f16 go through several_rows.cu, rows rounded, 64 at a time: how inputs are shared and in which order sums
// are added depends on the matrices, never on how many rows there are. It has no exact rows here and no norms of its
// own: those come before, by norm_round, which gives rms_norm() the same bits (a step that has text rows and summary
// rows norms them apart, one of text rows does not). All else, and matrices whose rows are no whole chunks, go through
// few_rows.cu, which adds up a row's products in an order of their own: slow for prompts, but rows stay floats.
#include <algorithm>
#include <vector>

#include "backend/cuda/cuda_ops.h"

namespace precis::cuda {
namespace {

LinearArgs some_rows(const LinearArgs& args, std::int64_t first, std::int64_t count, std::vector<LinearPart>& parts) {
  parts.assign(args.parts.begin(), args.parts.end());
  for (LinearPart& part : parts) part.y += first * part.y_stride;
  LinearArgs some = args;
  some.x += first * args.x_stride;
  some.rows = count;
  some.parts = parts;
  return some;
}

}  // namespace

void CudaOps::linear_alike(const LinearArgs& args) {
  std::vector<LinearPart> parts;
  for (std::int64_t first = 0; first < args.rows; first += rows_at_once()) {
    const LinearArgs some = some_rows(args, first, std::min(rows_at_once(), args.rows - first), parts);
    if (takes_several(some)) {
      linear_several(some, {});
    } else {
      linear_few(normed_before(some));
    }
  }
}

LinearArgs CudaOps::normed_before(const LinearArgs& args) {
  if (!deterministic_ || args.norm.weight == nullptr) return args;
  const std::int64_t inputs = args.parts.front().weight.inputs;
  LinearArgs normed = args;
  normed.x = reinterpret_cast<const float*>(rounded_rows(args, inputs, Operand::f32).x);
  normed.x_stride = inputs;
  normed.norm = {};
  return normed;
}

}  // namespace precis::cuda
