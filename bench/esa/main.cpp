// Recall of the closed form beside the same objective fitted by Adam and beside the keys' principal directions.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "backend/factory.h"
#include "base/file.h"
#include "engine/score_text.h"
#include "esa/closed_form.h"
#include "families/families.h"
#include "fits.h"

namespace precis::bench {
namespace {

struct Settings {
  CalibrateOptions options;
  std::vector<std::string> texts;
  std::string held_out;
  std::vector<std::int64_t> dims = {16, 32, 64};
  AdamOptions adam;
};

constexpr std::array<const char*, 3> methods = {"closed form", "Adam", "PCA of keys"};

struct Measured {
  std::vector<double> recall;  // of the layers that have one

  void add(const std::optional<double>& value) {
    if (value) recall.push_back(*value);
  }
  std::string shown() const {
    if (recall.empty()) return "-";
    double sum = 0;
    for (const double value : recall) sum += value;
    return fmt::format("{:.1f} ({:.1f} to {:.1f})", 100 * sum / static_cast<double>(recall.size()),
                       100 * *std::min_element(recall.begin(), recall.end()),
                       100 * *std::max_element(recall.begin(), recall.end()));
  }
};

void run(Settings settings) {
  CalibrateOptions& options = settings.options;
  constexpr std::int64_t most_bytes = std::int64_t{1} << 30;
  for (const std::string& file : settings.texts) options.texts.push_back({file, read_text(file, most_bytes)});
  options.held_out = {settings.held_out, read_text(settings.held_out, most_bytes)};
  const Checkpoint checkpoint{Folder(options.model)};
  const ModelSpec spec = read_model_spec(checkpoint);
  const std::int64_t length = spec.kv_heads * spec.head_dim;
  const auto device = open_backend("cpu", {.threads = options.threads});
  const ScoreText text = cut_score_text(TextCodec(options.model), options, spec.context);
  std::int64_t held_out_tokens = 0;
  for (std::size_t window = text.fitted; window < text.windows.size(); ++window) {
    held_out_tokens += static_cast<std::int64_t>(text.windows[window].size());
  }
  ScorePass pass(checkpoint, spec, *device, text.windows);
  std::vector<std::array<Measured, methods.size()>> table(settings.dims.size());
  for (std::int64_t layer = 0; layer < spec.layers; ++layer) {
    FitRows rows{.length = length, .queries = {}, .keys = {}};
    HeldOutRows held_out(spec,
                         spec.rules[static_cast<std::size_t>(spec.rule_of_layer[static_cast<std::size_t>(layer)])],
                         held_out_tokens);
    pass.next_layer([&](std::size_t window, const ScoreRows& some) {
      if (window < text.fitted) {
        rows.queries.insert(rows.queries.end(), some.queries.begin(), some.queries.end());
        rows.keys.insert(rows.keys.end(), some.keys.begin(), some.keys.end());
      } else {
        held_out.add(some, static_cast<std::int64_t>(text.windows[window].size()));
      }
      return true;
    });
    ScoreMoments moments(length);
    moments.add_queries(rows.queries);
    moments.add_keys(rows.keys);
    for (std::size_t at = 0; at < settings.dims.size(); ++at) {
      const std::int64_t dim = settings.dims[at];
      const std::array<EsaLayer, methods.size()> fits = {fit_scores(moments.of_queries(), moments.of_keys(), dim),
                                                         fit_adam(rows, dim, settings.adam),
                                                         fit_principal(moments, dim)};
      std::string line = fmt::format("layer {} d' {}:", layer, dim);
      for (std::size_t method = 0; method < methods.size(); ++method) {
        const auto recall =
            top_recall(held_out.queries(), held_out.keys(), fits[method], length, dim, options.recall_top);
        table[at][method].add(recall);
        line += recall ? fmt::format(" {:.1f}", 100 * *recall) : " -";
      }
      fmt::print(stderr, "{}\n", line);
    }
  }
  fmt::print("| d' of {} | {} | {} | {} |\n| ---: | ---: | ---: | ---: |\n", length, methods[0], methods[1],
             methods[2]);
  for (std::size_t at = 0; at < settings.dims.size(); ++at) {
    fmt::print("| {} | {} | {} | {} |\n", settings.dims[at], table[at][0].shown(), table[at][1].shown(),
               table[at][2].shown());
  }
}

int run_program(int count, char** values) {
  CLI::App app("Recall of ESA's projections, mean over layers (least to most), by how they were fitted.",
               "precis_esa_recall");
  Settings settings;
  app.add_option("-m,--model", settings.options.model, "folder of a checkpoint")->required();
  app.add_option("--text", settings.texts, "files to fit to")->required();
  app.add_option("--held-out", settings.held_out, "file to measure on")->required();
  app.add_option("-d,--dim", settings.dims, "lengths of short vectors (default 16 32 64)");
  app.add_option("--tokens", settings.options.tokens, "to fit to (default 50000)");
  app.add_option("--recall-tokens", settings.options.recall_tokens, "to choose from (default 16384)");
  app.add_option("--recall-topk", settings.options.recall_top, "chosen (default 128)");
  app.add_option("--steps", settings.adam.steps, "of Adam (default 2000)");
  app.add_option("--rate", settings.adam.rate, "of Adam at its begin (default 0.01)");
  app.add_option("--seed", settings.adam.seed, "of Adam's random choices");
  app.add_option("-t,--threads", settings.options.threads, "threads");
  CLI11_PARSE(app, count, values);
  run(std::move(settings));
  return 0;
}

}  // namespace
}  // namespace precis::bench

int main(int count, char** values) {
  try {
    return precis::bench::run_program(count, values);
  } catch (const std::exception& error) {
    fmt::print(stderr, "precis_esa_recall: {}\n", error.what());
    return 2;
  }
}
