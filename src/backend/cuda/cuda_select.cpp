// Selective attention on a GPU: device/select_args.h.
#include "backend/cuda/cuda_ops.h"
#include "backend/cuda/select.h"

namespace precis::cuda {

void CudaOps::keep_short(const KeepShortArgs& args) {
  launch_keep_short(args, stream());
}

void CudaOps::select(const SelectArgs& args) {
  if (args.runs.empty()) return;
  const auto runs = static_cast<std::int64_t>(args.runs.size());
  SelectScratch scratch{};
  scratch.stride = most_choices(args);
  for (const PickRun& run : args.runs) scratch.rows = std::max<std::int64_t>(scratch.rows, run.first_row + run.rows);
  scratch.scores = partials_.get<float>(2 * runs * scratch.stride + scratch.rows);
  scratch.keys = reinterpret_cast<std::uint32_t*>(scratch.scores + runs * scratch.stride);
  scratch.most = scratch.keys + runs * scratch.stride;
  launch_scores(args, scratch, stream());
  launch_top(args, scratch, most_shares_ > 1 ? most_top_blocks : 1, stream());
  has_selected_ = true;
}

void CudaOps::pick(const PickArgs& args) {
  if (!args.runs.empty()) launch_pick(args, stream());
}

void CudaOps::turn(const TurnArgs& args) {
  if (!args.runs.empty()) launch_turn(args, stream());
}

}  // namespace precis::cuda
