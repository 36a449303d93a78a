#include "backend/cuda/several_rows.h"

namespace precis::cuda {
namespace {

// Blocks that a GPU of today has room for at once, at least.
constexpr int enough_blocks = 160;
constexpr int most_shares = 8;
// Steps of a block: beginning and ending cost as much as some.
constexpr int least_steps = 8;

constexpr int divided_up(int a, int b) {
  return (a + b - 1) / b;
}

}  // namespace

int several_tiles(const SeveralRows& args, int outputs) {
  if (args.gated) return divided_up(args.parts[0].outputs, outputs / 2);
  int tiles = 0;
  for (int part = 0; part < args.count; ++part) tiles += divided_up(args.parts[part].outputs, outputs);
  return tiles;
}

void share_inputs(SeveralRows& args) {
  const int tiles = several_tiles(args, several_outputs);
  const int steps = divided_up(args.inputs, several_step);
  args.shares = 1;
  while (args.shares < most_shares && tiles * args.shares < enough_blocks && steps >= 2 * args.shares * least_steps) {
    args.shares *= 2;
  }
  args.share_steps = divided_up(steps, args.shares);
}

}  // namespace precis::cuda
