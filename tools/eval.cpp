// precis eval: how good a model, or a setting, is.
#include "eval.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <stdexcept>
#include <vector>

namespace precis {

Command add_eval(CLI::App& program) {
  CLI::App* app = program.add_subcommand("eval", "how good a model or a setting is: perplexity, kl, needle");
  app->require_subcommand(0, 1);
  app->footer("Each has its own help: precis eval kl --help");
  const auto parts = std::make_shared<std::vector<Command>>();
  *parts = {add_eval_perplexity(*app), add_eval_kl(*app), add_eval_needle(*app)};
  return {app, [parts] {
            for (const Command& part : *parts) {
              if (part.app->parsed()) return part.run();
            }
            throw std::runtime_error("eval: perplexity, kl or needle is expected (see precis eval --help)");
          }};
}

}  // namespace precis
