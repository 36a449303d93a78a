// The commands of the program, one file each.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace precis {

struct Command {
  CLI::App* app = nullptr;   // owned by the program
  std::function<int()> run;  // gives the exit code; throws what main turns into one line
};

Command add_run(CLI::App& program);
Command add_inspect(CLI::App& program);
Command add_tokenize(CLI::App& program);
Command add_logits(CLI::App& program);
Command add_quantize(CLI::App& program);
Command add_calibrate(CLI::App& program);
Command add_eval(CLI::App& program);
Command add_chat(CLI::App& program);
Command add_bench(CLI::App& program);

}  // namespace precis
