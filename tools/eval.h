// The parts of precis eval, one file each.
#pragma once

#include "commands.h"

namespace precis {

Command add_eval_kl(CLI::App& eval);
Command add_eval_needle(CLI::App& eval);
Command add_eval_perplexity(CLI::App& eval);

}  // namespace precis
