// precis eval kl: how far a setting's expectations are from another's.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "engine_flags.h"
#include "eval.h"
#include "input.h"
#include "likelihood.h"
#include "numbers.h"
#include "outcome.h"
#include "position_ranges.h"
#include "precis/engine.h"
#include "terminal.h"
#include "text_windows.h"
#include "window_flags.h"

namespace precis {

namespace {

constexpr const char* kExamples = R"(Examples:
  precis eval kl -m models/demo-ksa --weights q4 -f book.txt              (against the weights as stored)
  precis eval kl -m /tmp/demo-ksa-q8 --against models/demo-ksa -f book.txt --json
  precis eval kl -m models/demo-ksa --compute bf16 --against-compute f32 -f book.txt
  precis eval kl -m models/demo-ksa --kv-cache-dtype fp8 --against-kv-cache-dtype auto -f book.txt
  precis eval kl -m models/demo-ksa --kv-cache-dtype fp8 --against-kv-cache-dtype auto -f book.txt --ranges 8k,16k

At every position of the text: KL(base || model) in nats, where the base is what the --against flags say, and whether
both hold the same token to be the most likely. Both models are in memory, and one window's logits of the base.
Exit codes: 0 done, 1 the machine failed, 2 a flag, file or checkpoint is wrong.)";

constexpr std::int64_t kDefaultTokens = 8192;

struct KlFlags {
  EngineOptions engine;
  std::optional<std::string> against;
  std::string against_weights;
  std::optional<std::string> against_backend;
  std::optional<std::string> against_compute;
  std::optional<std::string> against_kv_cache_dtype;
  WindowFlags windows;
  bool json = false;

  EngineOptions base() const {
    EngineOptions options = engine;
    if (against) options.model = *against;
    options.weights = against_weights;
    options.bits = {};
    options.backend = against_backend.value_or(engine.backend);
    options.compute = against_compute.value_or(engine.compute);
    options.kv_cache_dtype = against_kv_cache_dtype.value_or(engine.kv_cache_dtype);
    return options;
  }
};

void expect_same_ids(const Engine& base, const Engine& model, const std::string& text) {
  if (base.vocabulary() != model.vocabulary()) {
    throw std::runtime_error(fmt::format("--against: {} ids, expected the model's {}", shown_count(base.vocabulary()),
                                         shown_count(model.vocabulary())));
  }
  if (base.text().encode_prompt(text) != model.text().encode_prompt(text)) {
    throw std::runtime_error("--against: makes other ids of the text than the model, expected the same tokenizer");
  }
}

// Positions by their range.
std::vector<std::vector<Position>> compare_windows(Engine& base, Engine& model, const std::vector<TextWindow>& windows,
                                                   const PositionRanges& ranges) {
  Notes notes;
  std::vector<std::vector<Position>> positions(ranges.count());
  std::vector<float> base_logits;  // [targets, vocabulary] of one window
  const auto width = static_cast<std::size_t>(model.vocabulary());
  for (std::size_t at = 0; at < windows.size(); ++at) {
    notes.passing(fmt::format("window {} of {} ...", at + 1, windows.size()));
    const TextWindow& window = windows[at];
    base_logits.resize(window.targets.size() * width);
    compute_window(base, window, [&](std::size_t index, std::span<const float> logits) {
      if (!ranges.of(window.position(index))) return;
      std::copy(logits.begin(), logits.end(), base_logits.begin() + static_cast<std::ptrdiff_t>(index * width));
    });
    compute_window(model, window, [&](std::size_t index, std::span<const float> logits) {
      const auto range = ranges.of(window.position(index));
      if (!range) return;
      positions[*range].push_back(compare({base_logits.data() + index * width, width}, logits, window.targets[index]));
    });
  }
  notes.clear_passing();
  return positions;
}

// What is told of one range.
struct RangeRow {
  std::int64_t from = 0;
  std::int64_t to = 0;
  std::optional<Comparison> comparison;  // none: no token is in it
};

std::vector<RangeRow> range_rows(const std::vector<std::vector<Position>>& positions, const PositionRanges& ranges) {
  std::vector<RangeRow> rows;
  for (std::size_t range = 0; ranges.any() && range < ranges.count(); ++range) {
    const auto [from, to] = ranges.bounds(range);
    RangeRow row{from, to, std::nullopt};
    if (!positions[range].empty()) row.comparison = summarise(positions[range]);
    rows.push_back(row);
  }
  return rows;
}

nlohmann::ordered_json range_json(const RangeRow& row) {
  nlohmann::ordered_json object = {{"from", row.from}, {"to", row.to}, {"positions", 0}};
  if (!row.comparison) return object;
  object.update({{"positions", row.comparison->positions},
                 {"kl_mean", row.comparison->mean_kl},
                 {"kl_p99", row.comparison->p99_kl},
                 {"kl_max", row.comparison->max_kl},
                 {"top_agreement", row.comparison->top_agreement},
                 {"nll", row.comparison->nll},
                 {"base_nll", row.comparison->base_nll}});
  return object;
}

std::string ranges_text(const std::vector<RangeRow>& rows) {
  if (rows.empty()) return "";
  std::string text = fmt::format("{:>10}  {:>10}  {:>10}  {:>10}  {:>10}  {:>10}  {:>10}\n", "ids from", "below",
                                 "positions", "KL mean", "same top %", "perplexity", "base");
  for (const RangeRow& row : rows) {
    text += fmt::format("{:>10}  {:>10}", shown_count(row.from), shown_count(row.to));
    if (!row.comparison) {
      text += fmt::format("  {:>10}  {:>10}  {:>10}  {:>10}  {:>10}\n", 0, "-", "-", "-", "-");
      continue;
    }
    const Comparison& found = *row.comparison;
    text += fmt::format("  {:>10}  {:>10.3g}  {:>10.3f}  {:>10.4f}  {:>10.4f}\n", shown_count(found.positions),
                        found.mean_kl, 100 * found.top_agreement, std::exp(found.nll), std::exp(found.base_nll));
  }
  return text;
}

std::string comparison_json(const Comparison& comparison, const std::vector<RangeRow>& rows, const MemoryReport& base,
                            const MemoryReport& model) {
  nlohmann::ordered_json object = {{"positions", comparison.positions},
                                   {"kl_mean", comparison.mean_kl},
                                   {"kl_p99", comparison.p99_kl},
                                   {"kl_max", comparison.max_kl},
                                   {"top_agreement", comparison.top_agreement},
                                   {"nll", comparison.nll},
                                   {"perplexity", std::exp(comparison.nll)},
                                   {"weight_bytes", model.weight_bytes},
                                   {"base_nll", comparison.base_nll},
                                   {"base_perplexity", std::exp(comparison.base_nll)},
                                   {"base_weight_bytes", base.weight_bytes}};
  for (const RangeRow& row : rows) object["ranges"].push_back(range_json(row));
  return object.dump() + "\n";
}

std::string comparison_text(const Comparison& comparison, const MemoryReport& base, const MemoryReport& model) {
  const auto shown = [](std::int64_t bytes) { return shown_bytes(static_cast<double>(bytes)); };
  std::string text = fmt::format("positions      {}\n", shown_count(comparison.positions));
  text += fmt::format("KL, nats       mean {:.3g}, 99th percentile {:.3g}, largest {:.3g}\n", comparison.mean_kl,
                      comparison.p99_kl, comparison.max_kl);
  text += fmt::format("same top       {:.3f} %\n", 100 * comparison.top_agreement);
  text += fmt::format("perplexity     {:.4f}, base {:.4f}\n", std::exp(comparison.nll), std::exp(comparison.base_nll));
  return text + fmt::format("weights        {}, base {}\n", shown(model.weight_bytes), shown(base.weight_bytes));
}

int run_kl(const KlFlags& flags) {
  const PositionRanges ranges = flags.windows.ranges();
  const std::string text = read_input("--file", flags.windows.file);
  Engine model(flags.windows.engine_options(flags.engine));
  Engine base(flags.windows.engine_options(flags.base()));
  expect_same_ids(base, model, text);
  const std::vector<TextWindow> windows = flags.windows.cut(model, text);
  flags.windows.expect_positions(windows);
  const std::vector<std::vector<Position>> positions = compare_windows(base, model, windows, ranges);
  const std::vector<RangeRow> rows = range_rows(positions, ranges);
  std::vector<Position> all;
  for (const std::vector<Position>& range : positions) all.insert(all.end(), range.begin(), range.end());
  const Comparison comparison = summarise(all);
  Output().write(flags.json ? comparison_json(comparison, rows, base.memory(), model.memory())
                            : ranges_text(rows) + comparison_text(comparison, base.memory(), model.memory()));
  return done;
}

}  // namespace

Command add_eval_kl(CLI::App& eval) {
  CLI::App* app = add_command(
      eval, "kl", "how far a model's expectations are from another's, or from another setting's", kExamples);
  const auto target = std::make_shared<KlFlags>();
  Flags flags(*app);
  flags.heading("Flags");
  add_model_flag(flags, target->engine.model);
  target->windows.add(flags, kDefaultTokens);
  flags.flag("--json", target->json, "as a JSON object");
  flags.heading("The base");
  flags.text("--against", "DIR", target->against, "folder of the base (default: the model's)");
  flags.text("--against-weights", "FORMAT", target->against_weights, "its --weights (default: as stored)");
  flags.text("--against-backend", "NAME", target->against_backend, "its --backend (default: the model's)");
  flags.text("--against-compute", "TYPE", target->against_compute, "its --compute (default: the model's)");
  flags.text("--against-kv-cache-dtype", "TYPE", target->against_kv_cache_dtype,
             "its --kv-cache-dtype (default: the model's)");
  add_compute_flags(flags, target->engine);
  return {app, [target] { return run_kl(*target); }};
}

}  // namespace precis
