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
#include "position_ranges.h"
#include "precis/engine.h"
#include "precis/units.h"
#include "terminal.h"
#include "text_windows.h"
#include "window_flags.h"

namespace precis {

namespace {

constexpr const char* kExamples = R"(Examples:
  precis eval perplexity -m models/demo-ksa -f book.txt
  precis eval perplexity -m models/demo-ksa -f book.txt --window 512 --stride 256 --json
  precis eval perplexity -m models/demo-ksa -f book.txt --ranges 0,4k,8k,16k    (a table, windows of 16k)

The text is cut into windows that the model reads one by one; each token is expected once. With a stride shorter than
the window, windows overlap, and each token is expected with at least window - stride ids before it.
Exit codes: 0 done, 1 the machine failed, 2 a flag, file or checkpoint is wrong.)";

struct PerplexityFlags {
  EngineOptions engine;
  WindowFlags windows;
  bool json = false;
};

// Of the tokens of one range.
struct Surprise {
  double sum = 0;  // of -log p
  std::int64_t positions = 0;

  double nll() const { return sum / static_cast<double>(positions); }
};

std::vector<Surprise> measure(Engine& engine, const std::vector<TextWindow>& windows, const PositionRanges& ranges) {
  Notes notes;
  std::vector<Surprise> surprises(ranges.count());
  for (std::size_t at = 0; at < windows.size(); ++at) {
    notes.passing(fmt::format("window {} of {} ...", at + 1, windows.size()));
    compute_window(engine, windows[at], [&](std::size_t index, std::span<const float> logits) {
      const auto range = ranges.of(windows[at].position(index));
      if (!range) return;
      const auto token = static_cast<std::size_t>(windows[at].targets[index]);
      surprises[*range].sum += log_total(logits) - static_cast<double>(logits[token]);
      ++surprises[*range].positions;
    });
  }
  notes.clear_passing();
  return surprises;
}

nlohmann::ordered_json surprise_json(const Surprise& surprise) {
  nlohmann::ordered_json object = {{"positions", surprise.positions}, {"nll", nullptr}, {"perplexity", nullptr}};
  if (surprise.positions > 0) {
    object["nll"] = surprise.nll();
    object["perplexity"] = std::exp(surprise.nll());
  }
  return object;
}

std::string perplexity_json(const std::vector<Surprise>& surprises, const Surprise& all, const PositionRanges& ranges,
                            std::size_t windows, std::int64_t window) {
  nlohmann::ordered_json object = {{"positions", all.positions},
                                   {"windows", windows},
                                   {"window", window},
                                   {"nll", all.nll()},
                                   {"perplexity", std::exp(all.nll())}};
  for (std::size_t range = 0; ranges.any() && range < ranges.count(); ++range) {
    const auto [from, to] = ranges.bounds(range);
    nlohmann::ordered_json row = {{"from", from}, {"to", to}};
    row.update(surprise_json(surprises[range]));
    object["ranges"].push_back(std::move(row));
  }
  return object.dump() + "\n";
}

std::string perplexity_text(const std::vector<Surprise>& surprises, const Surprise& all, const PositionRanges& ranges) {
  std::string text;
  if (ranges.any())
    text =
        fmt::format("{:>10}  {:>10}  {:>10}  {:>10}  {:>10}\n", "ids from", "below", "positions", "nll", "perplexity");
  for (std::size_t range = 0; ranges.any() && range < ranges.count(); ++range) {
    const auto [from, to] = ranges.bounds(range);
    const Surprise& row = surprises[range];
    text += fmt::format("{:>10}  {:>10}  {:>10}", shown_count(from), shown_count(to), shown_count(row.positions));
    text += row.positions == 0 ? fmt::format("  {:>10}  {:>10}\n", "-", "-")
                               : fmt::format("  {:>10.6f}  {:>10.4f}\n", row.nll(), std::exp(row.nll()));
  }
  return text + fmt::format("positions   {}\nnll         {:.6f}\nperplexity  {:.4f}\n", all.positions, all.nll(),
                            std::exp(all.nll()));
}

int run_perplexity(const PerplexityFlags& flags) {
  const PositionRanges ranges = flags.windows.ranges();
  const std::string text = read_input("--file", flags.windows.file);
  Engine engine(flags.windows.engine_options(flags.engine));
  const std::vector<TextWindow> windows = flags.windows.cut(engine, text);
  flags.windows.expect_positions(windows);
  const std::vector<Surprise> surprises = measure(engine, windows, ranges);
  Surprise all;
  for (const Surprise& surprise : surprises) {
    all.sum += surprise.sum;
    all.positions += surprise.positions;
  }
  Output().write(flags.json ? perplexity_json(surprises, all, ranges, windows.size(), flags.windows.window(engine))
                            : perplexity_text(surprises, all, ranges));
  return done;
}

}  // namespace

Command add_eval_perplexity(CLI::App& eval) {
  CLI::App* app = add_command(eval, "perplexity", "how well a model expects a text", kExamples);
  const auto target = std::make_shared<PerplexityFlags>();
  Flags flags(*app);
  flags.heading("Flags");
  add_model_flag(flags, target->engine.model);
  target->windows.add(flags, 0);
  flags.flag("--json", target->json, "as a JSON object");
  add_compute_flags(flags, target->engine);
  return {app, [target] { return run_perplexity(*target); }};
}

}  // namespace precis
