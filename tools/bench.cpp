// precis bench: speed and memory of a model, or of a geometry with random weights, beside what the machine can do.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "bench_case.h"
#include "bench_frontier.h"
#include "bench_machine.h"
#include "bench_result.h"
#include "bench_runner.h"
#include "commands.h"
#include "engine_flags.h"
#include "numbers.h"
#include "outcome.h"
#include "output_file.h"
#include "precis/engine.h"
#include "terminal.h"

namespace precis {

namespace {

constexpr std::int64_t shortest_warm_up = 32;  // tokens

constexpr const char* kExamples = R"(Examples:
  precis bench -m models/demo-ksa                                  (pp512 and tg128, five times each)
  precis bench -m models/demo-ksa -p 512 -n 128 -d 0,4096,16384    (the same behind other depths)
  precis bench -m models/demo-ksa -p 0 -n 64 -np 1,2,4,8           (sequences that decode at once)
  precis bench --dummy qwen3-4b/config.json -d 0,8k -r 3 --json    (a model whose checkpoint is not here)
  precis bench -m models/demo-ksa --frontier 1k..32k --plot ksa.svg   (what a context costs, in one walk)

pp512 reads a prompt of 512 tokens; tg128 generates 128 tokens, one a step; "@ d4096" means behind 4096 tokens, which
are computed before and not timed; "x 4" means that 4 sequences, each with its own text, decode at once: tokens/s is
the sum. Prompts are random ids, the same each time; the most likely token is chosen; end ids do not end an answer.

--frontier reads one text ever further, once in all, and stops at 1k, 2k, 4k and so on up to 32k, or where a list says
(1k,4k,32k): tokens/s of the stretch since the stop before and from the start, milliseconds of each of -n tokens
generated there (32; -r times: median, fastest and slowest), K and V that the context holds beside what full attention in
every layer would, and peak memory. Answers may go past the last frontier. A row is printed once it is measured
(--csv and --json: at the end). --plot draws milliseconds (dashed: what reading a token's bytes takes at memory's speed)
and K and V over the context.

How bytes are counted: what a step must read, once: all weights that it uses, and the K and V of every entry that a
row of it sees (in KSA and window layers: what their rule leaves in sight), for each sequence. So a generated token
costs the weights divided by the sequences, and its sequence's K and V. Of the embedding a row a token is read, which
is not counted; a head is, also when it is the embedding (tied). Writes and activations are not counted.
How FLOP are counted: products with weights and attention's scores and sums, a multiply-add as two; past the last
layer's attention only for tokens whose logits are wanted. Summaries (KSA) belong to the token that ends their chunk.
"of memory" holds a repetition against how fast the same threads read 256 MiB or more right before and after it, which on
a shared machine is never the same for long; the median of all repetitions is shown. "of peak" is of multiply-adds in
registers, the better of before and after all. What the caches hold can be read at more than 100 % of memory. Peak memory
leaves out what these measurements take.

The context is as long as the longest case needs; --ctx-size says how far they may reach (without it: as far as the
model was made for). Counts may end in k, M, G (powers of 1024). Results go to standard output, progress to a terminal's standard error.
Ctrl-C prints what is there (exit code 130).
Exit codes: 0 done, 1 the machine failed, 2 a flag, file or checkpoint is wrong, 130 interrupted.)";

constexpr std::int64_t kMaxTokens = std::int64_t{1} << 28;
constexpr std::int64_t kMaxSequences = 1024;
constexpr std::int64_t kMaxRepetitions = 10'000;

struct BenchFlags {
  EngineOptions engine;
  std::filesystem::path dummy;
  BenchLists lists = {{512}, {128}, {0}, {1}};
  int repetitions = 5;
  std::string frontier;
  std::filesystem::path plot;
  bool csv = false;
  bool json = false;
  std::vector<Flag> not_with_frontier;
  std::optional<Flag> answers;
  std::optional<Flag> frontier_flag;
};

void add_flags(CLI::App& app, BenchFlags& bench) {
  Flags flags(app);
  flags.heading("Model");
  flags.path("-m,--model", "DIR", bench.engine.model, "folder of the model, in Hugging Face layout");
  flags.path("--dummy", "CONFIG", bench.dummy,
             "instead: a config.json, or a folder with one, to be run with random weights");
  flags.count("--seed", "N", bench.engine.dummy_seed, 0, std::numeric_limits<std::int64_t>::max(),
              "with --dummy: seed of the random weights (default 0)");
  flags.heading("What is measured (lists: 1,2,3)");
  bench.not_with_frontier.push_back(flags.counts("-p,--prompt,--n-prompt", "TOKENS", bench.lists.prompts, 0, kMaxTokens,
                                                 "lengths of prompts to read; 0: none (default 512)"));
  bench.answers = flags.counts("-n,--predict,--n-gen", "TOKENS", bench.lists.answers, 0, kMaxTokens,
                               "numbers of tokens to generate; 0: none (default 128; with --frontier one number, 32)");
  bench.not_with_frontier.push_back(flags.counts("-d,--depth,--n-depth", "TOKENS", bench.lists.depths, 0, kMaxTokens,
                                                 "tokens before the prompt or answer (default 0)"));
  bench.not_with_frontier.push_back(flags.counts("--parallel", "N", bench.lists.sequences, 1, kMaxSequences,
                                                 "sequences that generate at once; also -np (default 1)"));
  bench.frontier_flag =
      flags.text("--frontier", "TOKENS", bench.frontier,
                 "instead: a walk up to a context, 1k..128k (doubled each time) or a list, 1k,4k,32k");
  flags.count("-r,--repetitions", "N", bench.repetitions, 1, kMaxRepetitions, "times that each is run (default 5)");
  add_compute_flags(flags, bench.engine);
  flags.heading("Output");
  flags.flag("--csv", bench.csv, "comma-separated values, a line of names first (default: a markdown table)");
  flags.flag("--json", bench.json, "one JSON object, with every sample");
  flags.path("--plot", "FILE", bench.plot, "with --frontier: milliseconds a token, and K and V, as an SVG");
}

void check_flags(const BenchFlags& flags) {
  if (flags.engine.model.empty() == flags.dummy.empty()) {
    throw std::runtime_error(flags.dummy.empty() ? "--model or --dummy is expected" : "--dummy: not with --model");
  }
  if (flags.csv && flags.json) throw std::runtime_error("--csv: not with --json");
}

// Nothing: --frontier is not given.
std::optional<FrontierPlan> frontier_plan(const BenchFlags& flags) {
  if (!flags.frontier_flag->given()) {
    if (!flags.plot.empty()) throw std::runtime_error("--plot: only with --frontier");
    return std::nullopt;
  }
  for (const Flag& flag : flags.not_with_frontier) {
    if (flag.given())
      throw std::runtime_error(flag.name() + ": not with --frontier, which reads one text ever further");
  }
  FrontierPlan plan{parse_frontiers("--frontier", flags.frontier, kMaxTokens), 32};
  if (flags.engine.deterministic && flags.engine.esa != "off") {
    // Elsewhere a text that was cut there would not be read on, but again from the piece's beginning.
    for (const std::int64_t frontier : plan.frontiers) {
      if (frontier % flags.engine.piece == 0) continue;
      throw std::runtime_error(
          fmt::format("--frontier: {} given, with --deterministic and --esa multiples of --piece ({}) are expected",
                      frontier, flags.engine.piece));
    }
  }
  if (!flags.answers->given()) return plan;
  const std::vector<std::int64_t>& answers = flags.lists.answers;
  if (answers.size() != 1 || answers[0] == 0) {
    throw std::runtime_error(fmt::format("--predict: {} given, with --frontier one number of at least 1 is expected",
                                         shown_text(fmt::format("{}", fmt::join(answers, ",")))));
  }
  plan.tokens = answers[0];
  return plan;
}

bool has_windows(const CheckpointReport& model) {
  return std::any_of(model.layer.begin(), model.layer.end(),
                     [](const LayerReport& layer) { return layer.sight != "full"; });
}

EngineOptions model_options(const BenchFlags& flags) {
  EngineOptions options = flags.engine;
  options.dummy_weights = !flags.dummy.empty();
  if (options.dummy_weights) options.model = flags.dummy;
  return options;
}

// One engine serves all cases: as long and as wide as the longest and the widest.
EngineOptions engine_options(const BenchFlags& flags, const CheckpointReport& model,
                             const std::vector<BenchCase>& cases) {
  EngineOptions options = model_options(flags);
  options.context = 0;
  for (const BenchCase& test : cases) {
    options.context = std::max(options.context, test.context());
    options.max_sequences = std::max(options.max_sequences, static_cast<int>(test.sequences));
  }
  // Pages that left a window stay with the cached depth: room for one more window.
  if (has_windows(model)) ++options.max_sequences;
  options.prefix_distance = 0;  // depths are kept where they end
  return options;
}

// Tokens of context whose pages are at least those that one sequence's windows take; 0: context takes none of that
// kind.
std::int64_t context_like_windows(const EngineOptions& options, const CheckpointReport& model) {
  std::int64_t full = 0;
  std::int64_t window = 0;
  for (const LayerReport& layer : model.layer) {
    if (layer.sight == "full") ++full;
    window = std::max(window, layer.sight == "summary" ? (layer.window + 1) * model.chunk_text : layer.window);
  }
  if (full == 0 || options.kv_offload) return 0;  // or its pages are far ones
  // Layers are held in groups of as many; that of the full ones grows.
  const std::int64_t groups = (model.layers - full + full - 1) / full;
  return 2 * groups * (window + options.piece + options.page_entries);
}

// One engine serves the walk. Beside the sequence that goes on stands what was kept at the frontier: pages that have
// left the sequence's windows since, and a copy of the last page. Twice a long context would be too much for that.
EngineOptions engine_options(const BenchFlags& flags, const CheckpointReport& model, const FrontierPlan& plan) {
  EngineOptions options = model_options(flags);
  options.context = plan.context() + 2 * options.page_entries;
  options.prefix_distance = 0;
  if (!has_windows(model)) return options;
  const std::int64_t more = context_like_windows(options, model);
  if (more > 0 && more < options.context) {
    options.context += more;
  } else {
    ++options.max_sequences;
  }
  return options;
}

// Tokens; 0: no case reads a prompt.
std::int64_t longest_prompt(const std::vector<BenchCase>& cases) {
  std::int64_t longest = 0;
  for (const BenchCase& test : cases) longest = std::max(longest, test.prompt ? test.tokens : 0);
  return longest;
}

// What was measured when something fails or is interrupted stays in the report.
void run_cases(const std::vector<BenchCase>& cases, BenchRunner& runner, Notes& notes, BenchReport& report) {
  for (const BenchCase& test : cases) {
    const std::size_t place = report.results.size();
    const double before = read_bandwidth_now(report);
    for (int repetition = 0; repetition < report.repetitions; ++repetition) {
      notes.passing(fmt::format("{} ({} of {}): repetition {} of {} ...", test.name(), place + 1, cases.size(),
                                repetition + 1, report.repetitions));
      const BenchRunner::Sample sample = runner.measure(test);
      if (repetition == 0) {
        report.results.push_back({.test = test, .rates = {}, .reads = {before}, .token_cost = runner.token_cost(test)});
      }
      note_peak(report);
      BenchResult& result = report.results.back();
      result.rates.samples.push_back(sample.rate);
      result.kv_bytes = sample.kv_bytes;
      result.kv_far_bytes = sample.kv_far_bytes;
      result.peak_memory = report.peak_memory;
      result.reads.push_back(read_bandwidth_now(report));
    }
  }
}

// Opens the engine and has `measure` do its part, between two looks at what the machine can do. What it was doing when
// Ctrl-C came ends; gives the signal, or 0. `longest_prompt`: that is measured.
int measure_beside_machine(BenchReport& report, Notes& notes, std::int64_t longest_prompt,
                           const std::function<void(BenchRunner&)>& measure) {
  notes.passing("opening the model ...");
  Engine engine(report.options);
  report.device = engine.device();
  report.weight_bytes = engine.memory().weight_bytes;
  BenchRunner runner(engine);
  const Interrupt interrupt([&] { runner.cancel(); });
  try {
    runner.warm_up(std::clamp<std::int64_t>(longest_prompt, shortest_warm_up,
                                            std::max<std::int64_t>(report.options.piece, shortest_warm_up)));
    report.before = machine_speed(notes, report);
    measure(runner);
  } catch (const RunFailure&) {
    if (!runner.cancelled()) throw;
  }
  report.after = machine_speed(notes, report);
  notes.clear_passing();
  return interrupt.signal();
}

int exit_code(int signal) {
  return signal == 0 ? done : 128 + signal;
}

int run_walk(const BenchFlags& flags, const FrontierPlan& plan, BenchReport report) {
  expect_context(fmt::format("--frontier: {} tokens", plan.frontiers.back()), plan.frontiers.back(),
                 flags.engine.context, report.model.context);
  OutputFile plot("--plot", flags.plot.string());
  report.options = engine_options(flags, report.model, plan);
  const bool table = !flags.json && !flags.csv;
  std::vector<FrontierResult> results;
  Notes notes;
  Output output;
  std::exception_ptr failure;  // told after what was measured until then
  const int signal = measure_beside_machine(report, notes, plan.frontiers.front(), [&](BenchRunner& runner) {
    const auto add = [&](FrontierResult result) {
      notes.clear_passing();
      if (table && results.empty()) output.write(frontier_markdown_head());
      if (table) output.write(frontier_markdown_row(result));
      if (output.closed()) runner.cancel();  // nobody reads on
      results.push_back(std::move(result));
    };
    try {
      walk_frontiers(plan, runner, notes, report, add);
    } catch (const RunFailure&) {
      if (!runner.cancelled()) failure = std::current_exception();
    }
  });
  output.write(flags.json  ? frontier_json(report, results)
               : flags.csv ? frontier_csv(report, results)
                           : frontier_markdown_foot(report));
  plot.write(flags.plot.empty() ? "" : frontier_svg(report, results));
  if (failure) std::rethrow_exception(failure);
  return exit_code(signal);
}

int run_bench(const BenchFlags& flags) {
  check_flags(flags);
  const std::optional<FrontierPlan> plan = frontier_plan(flags);
  const std::vector<BenchCase> cases = plan ? std::vector<BenchCase>() : bench_cases(flags.lists);
  BenchReport report;
  report.model = flags.dummy.empty() ? inspect(flags.engine.model) : inspect_configuration(flags.dummy);
  report.repetitions = flags.repetitions;
  if (plan) return run_walk(flags, *plan, std::move(report));
  for (const BenchCase& test : cases) {
    expect_context(fmt::format("--depth: {} after {} tokens comes to {}", test.test(), test.depth, test.length()),
                   test.length(), flags.engine.context, report.model.context);
  }
  report.options = engine_options(flags, report.model, cases);
  Notes notes;
  const int signal = measure_beside_machine(report, notes, longest_prompt(cases),
                                            [&](BenchRunner& runner) { run_cases(cases, runner, notes, report); });
  Output().write(flags.json ? bench_json(report) : flags.csv ? bench_csv(report) : bench_markdown(report));
  return exit_code(signal);
}

}  // namespace

Command add_bench(CLI::App& program) {
  CLI::App* app =
      add_command(program, "bench", "speed and memory of a model beside what the machine can do", kExamples);
  const auto flags = std::make_shared<BenchFlags>();
  add_flags(*app, *flags);
  return {app, [flags] { return run_bench(*flags); }};
}

}  // namespace precis
