// The commands of the program, one file each.
#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace precis {

struct Command {
  CLI::App* app = nullptr;   // owned by the program
  std::function<int()> run;  // gives the exit code; throws what main turns into one line
};

// A command of the program, or of another command. The examples stand at the end of its help.
CLI::App* add_command(CLI::App& program, const std::string& name, const std::string& description,
                      const std::string& examples);

Command add_run(CLI::App& program);
Command add_inspect(CLI::App& program);
Command add_tokenize(CLI::App& program);
Command add_logits(CLI::App& program);
Command add_quantize(CLI::App& program);
Command add_calibrate(CLI::App& program);
Command add_eval(CLI::App& program);
Command add_chat(CLI::App& program);
Command add_bench(CLI::App& program);
Command add_memory(CLI::App& program);

}  // namespace precis
