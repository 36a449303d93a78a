#include "backend/cuda/several_rows.h"

#include <algorithm>

namespace precis::cuda {
namespace {

// Blocks that today's largest GPUs run at once, three a processor, less some.
constexpr int most_blocks = 330;
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

void share_inputs(SeveralRows& args, int most) {
  const int tiles = several_tiles(args);
  const int steps = divided_up(args.inputs, several_step);
  args.shares = std::clamp(std::min(most_blocks / tiles, steps / least_steps), 1, most);
  args.share_steps = divided_up(steps, args.shares);
}

bool has_exact_room(const SeveralRows& args) {
  // Of as many rows as there may be: a row's bits must not depend on how many there are.
  return 2 * several_exact_rows * args.share_steps * several_step * 2 <= most_exact_bytes;
}

}  // namespace precis::cuda
