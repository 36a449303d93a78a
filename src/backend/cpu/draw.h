// What drawing takes of one row, on the CPU.
#pragma once

#include <cstdint>
#include <span>

#include "device/draw_args.h"

namespace precis::cpu {

// `best`: the most likely id. Takes no memory, as workers must not throw.
void draw_row(std::span<const float> logits, const DrawOptions& options, std::int32_t best, RowDraw& draw);

}  // namespace precis::cpu
