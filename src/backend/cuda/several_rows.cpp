#include "backend/cuda/several_rows.h"

namespace precis::cuda {
namespace {

// Blocks that keep every processor of today's GPUs reading evenly, at least.
constexpr int enough_blocks = 300;
// Steps of a block: beginning and ending cost as much as some.
constexpr int least_steps = 4;
// Of shared memory, for two blocks a processor with what they need beside the rows.
constexpr int most_exact_bytes = 100 << 10;

constexpr int divided_up(int a, int b) {
  return (a + b - 1) / b;
}

}  // namespace

int several_tiles(const SeveralRows& args) {
  if (args.gated) return divided_up(args.parts[0].outputs, several_outputs / 2);
  int tiles = 0;
  for (int part = 0; part < args.count; ++part) tiles += divided_up(args.parts[part].outputs, several_outputs);
  return tiles;
}

void share_inputs(SeveralRows& args) {
  const int tiles = several_tiles(args);
  const int steps = divided_up(args.inputs, several_step);
  args.shares = 1;
  while (args.shares < most_shares && tiles * args.shares < enough_blocks && steps >= 2 * args.shares * least_steps) {
    args.shares *= 2;
  }
  args.share_steps = divided_up(steps, args.shares);
}

std::int64_t several_partials(const SeveralRows& args) {
  if (args.shares == 1) return 0;
  return std::int64_t{several_tiles(args)} * args.shares * args.rows * several_outputs;
}

bool has_exact_room(const SeveralRows& args) {
  // Of as many rows as there may be: a row's bits must not depend on how many there are.
  return 2 * several_exact_rows * args.share_steps * several_step * 2 <= most_exact_bytes;
}

}  // namespace precis::cuda
