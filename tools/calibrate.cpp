// precis calibrate: the projections that let a model choose what it attends to by short vectors.
#include "precis/calibrate.h"

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "engine_flags.h"
#include "input.h"
#include "numbers.h"
#include "outcome.h"
#include "terminal.h"

namespace precis {

namespace {

constexpr const char* kExamples = R"(Examples:
  precis calibrate -m models/demo-ksa --text novel.txt --dim 64
  precis calibrate -m models/demo-ksa --text novel.txt --text news.txt --held-out other.txt -o /tmp/esa.safetensors --json

Reads the text once and writes, for each layer, two small matrices that shorten queries and keys to vectors whose dot
product is closest to the score that ESA chooses by (docs/esa.md). The file appears whole or not at all. Then it says how
well they choose: of the keys with the largest exact scores, the share that is also among the largest of short vectors,
in text that nothing was fitted to; in summary layers of the summaries.
Exit codes: 0 done, 1 the machine failed, 2 a flag, file or checkpoint is wrong, 130 interrupted.)";

struct CalibrateFlags {
  CalibrateOptions options;
  std::vector<std::string> texts;  // files
  std::string held_out;            // file or ""
  bool json = false;
};

std::string shown_share(const std::optional<double>& share) {
  return share ? fmt::format("{:.1f} %", 100 * *share) : "-";
}

std::string table_of(const CalibrateReport& report) {
  std::string table = fmt::format("{:>5}  {:<9}  {:>10}  {:>8}\n", "layer", "keys", "candidates", "recall");
  for (std::size_t layer = 0; layer < report.layers.size(); ++layer) {
    const LayerRecall& row = report.layers[layer];
    table += fmt::format("{:>5}  {:<9}  {:>10}  {:>8}\n", layer, row.keys, shown_count(row.candidates),
                         shown_share(row.recall));
  }
  return table + fmt::format("mean {}, least {}\n", shown_share(report.mean_recall), shown_share(report.least_recall));
}

nlohmann::ordered_json json_of(const CalibrateReport& report, const CalibrateOptions& options) {
  const auto number = [](const std::optional<double>& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
  };
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (std::size_t layer = 0; layer < report.layers.size(); ++layer) {
    const LayerRecall& row = report.layers[layer];
    layers.push_back(
        {{"layer", layer}, {"keys", row.keys}, {"candidates", row.candidates}, {"recall", number(row.recall)}});
  }
  return {{"file", report.file.string()},
          {"dim", report.dim},
          {"length", report.length},
          {"tokens", report.tokens},
          {"bytes", report.bytes},
          {"recall_tokens", options.recall_tokens},
          {"recall_topk", options.recall_top},
          {"queries", report.queries},
          {"layers", layers},
          {"mean_recall", number(report.mean_recall)},
          {"least_recall", number(report.least_recall)}};
}

// The texts are read into `options`.
void read_texts(const CalibrateFlags& flags, CalibrateOptions& options) {
  for (const std::string& file : flags.texts) options.texts.push_back({file, read_input("--text", file)});
  if (!flags.held_out.empty()) options.held_out = {flags.held_out, read_input("--held-out", flags.held_out)};
}

void note_report(const Notes& notes, const CalibrateReport& report, double seconds) {
  if (report.dim == report.length) {
    notes.line(
        fmt::format("d' is {}, as long as queries and keys are: nothing is left out, scores stay exact", report.dim));
  }
  notes.line(fmt::format("{}  {} of {} numbers to {}, fitted to {} tokens in {:.1f} s", report.file.string(),
                         shown_bytes(static_cast<double>(report.bytes)), report.length, report.dim,
                         shown_count(report.tokens), seconds));
}

int run_calibrate(const CalibrateFlags& flags) {
  Notes notes;
  const Interrupt interrupt([] {});
  CalibrateOptions options = flags.options;
  read_texts(flags, options);
  options.progress = [&](std::int64_t computed, std::int64_t all) {
    notes.passing(fmt::format("{} % ...", 100 * computed / all));
    return interrupt.signal() == 0;
  };
  const auto begin = std::chrono::steady_clock::now();
  const auto work = [&] {
    try {
      return calibrate(options);
    } catch (...) {
      notes.clear_passing();
      throw;
    }
  };
  const CalibrateReport report = work();
  notes.clear_passing();
  if (report.stopped) return 128 + interrupt.signal();
  note_report(notes, report, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  if (flags.json) {
    Output().write(json_of(report, options).dump() + "\n");
  } else if (!report.layers.empty()) {
    Output().write(table_of(report));
  }
  return done;
}

}  // namespace

Command add_calibrate(CLI::App& program) {
  CLI::App* app =
      add_command(program, "calibrate", "fit the short vectors by which ESA chooses what is attended to", kExamples);
  const auto target = std::make_shared<CalibrateFlags>();
  Flags flags(*app);
  CalibrateOptions& options = target->options;
  constexpr std::int64_t many = std::int64_t{1} << 28;
  flags.heading("Flags");
  add_model_flag(flags, options.model);
  flags.texts("--text", "FILE", target->texts, "text to fit to; several times: several files, one behind the other")
      .required();
  flags.count("--tokens", "N", options.tokens, 1, many,
              "tokens of it that are used, from all its parts (default 50000)");
  flags.count("--dim", "N", options.dim, 1, std::int64_t{1} << 20,
              "length of the short vectors; KV heads x head size or more: scores stay exact (default 128)");
  flags.path("-o,--output", "FILE", options.output, "file to write (default esa.safetensors in the model's folder)");
  flags.text("--held-out", "FILE", target->held_out, "text to measure on (default: the end of --text, not fitted to)");
  flags.count("--recall-tokens", "N", options.recall_tokens, 0, many,
              "tokens of it that are chosen from; 0: nothing is measured (default 16k)");
  flags.count("--recall-topk", "N", options.recall_top, 1, many, "how many are chosen (default 128)");
  flags.flag("--json", target->json, "as a JSON object");
  flags.count("-t,--threads", "N", options.threads, 0, 1024, "threads; 0: one a physical core");
  return {app, [target] { return run_calibrate(*target); }};
}

}  // namespace precis
