// precis eval perplexity: how well a model expects a text.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine_flags.h"
#include "eval.h"
#include "input.h"
#include "likelihood.h"
#include "outcome.h"
#include "precis/engine.h"
#include "terminal.h"
#include "text_windows.h"
#include "window_flags.h"

namespace precis {

namespace {

constexpr const char* kExamples = R"(Examples:
  precis eval perplexity -m models/demo-ksa -f book.txt
  precis eval perplexity -m models/demo-ksa -f book.txt --window 512 --stride 256 --json

The text is cut into windows that the model reads one by one; each token is expected once. With a stride shorter than
the window, windows overlap, and each token is expected with at least window - stride ids before it.
Exit codes: 0 done, 1 the machine failed, 2 a flag, file or checkpoint is wrong.)";

struct PerplexityFlags {
  EngineOptions engine;
  WindowFlags windows;
  bool json = false;
};

int run_perplexity(const PerplexityFlags& flags) {
  const std::string text = read_input("--file", flags.windows.file);
  Engine engine(flags.windows.engine_options(flags.engine));
  const std::vector<TextWindow> windows = flags.windows.cut(engine, text);
  Notes notes;
  double sum = 0;
  std::int64_t positions = 0;
  for (std::size_t at = 0; at < windows.size(); ++at) {
    notes.passing(fmt::format("window {} of {} ...", at + 1, windows.size()));
    compute_window(engine, windows[at], [&](std::size_t index, std::span<const float> logits) {
      sum += log_total(logits) - static_cast<double>(logits[static_cast<std::size_t>(windows[at].targets[index])]);
      ++positions;
    });
  }
  notes.clear_passing();
  const double nll = sum / static_cast<double>(positions);
  if (flags.json) {
    const nlohmann::ordered_json object = {{"positions", positions},
                                           {"windows", windows.size()},
                                           {"window", flags.windows.window(engine)},
                                           {"nll", nll},
                                           {"perplexity", std::exp(nll)}};
    Output().write(object.dump() + "\n");
  } else {
    Output().write(
        fmt::format("positions   {}\nnll         {:.6f}\nperplexity  {:.4f}\n", positions, nll, std::exp(nll)));
  }
  return done;
}

}  // namespace

Command add_eval_perplexity(CLI::App& eval) {
  CLI::App* app = eval.add_subcommand("perplexity", "how well a model expects a text");
  const auto target = std::make_shared<PerplexityFlags>();
  Flags flags(*app);
  flags.heading("Flags");
  add_model_flag(flags, target->engine.model);
  target->windows.add(flags, 0);
  flags.flag("--json", target->json, "as a JSON object");
  add_compute_flags(flags, target->engine);
  app->footer(kExamples);
  return {app, [target] { return run_perplexity(*target); }};
}

}  // namespace precis
