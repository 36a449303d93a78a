// precis memory: what a context costs, before anything is loaded; and beside it, what it takes when it is run.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "commands.h"
#include "engine_flags.h"
#include "memory_measure.h"
#include "memory_table.h"
#include "outcome.h"
#include "output_file.h"
#include "precis/memory_plan.h"
#include "terminal.h"

namespace precis {

namespace {

constexpr const char* kExamples = R"(Examples:
  precis memory -m models/demo-ksa                                    (the context that the model was made for, in full)
  precis memory -m models/demo-ksa -m models/demo-dense --ctx 1k,4k,16k,64k --plot kv.svg
  precis memory --dummy ksa-4b/config.json --ctx 128k --backend cuda  (a model whose checkpoint is not here)
  precis memory --dummy ksa-4b/config.json --ctx 32k --fit 24G        (the largest context, and the most sequences of 32k)
  precis memory -m models/demo-ksa --ctx 1k,8k --measure              (run, and held against)

Reads config.json and the headers of tensor files, no weight, and touches no GPU (but with --measure). The numbers are
those by which an engine with the same flags opens: precis run, chat and bench refuse what is more than there is, and
--memory-budget what is more than --fit says.

KV held: what one sequence holds at the context, in whole pages. KV pool: what all sequences may hold on their way there
(a step's new tokens come before old ones leave a window). Full attention: the same model if every layer kept all text,
K and V of the same type. Activations: a step's rows, and what operations take for themselves. Overhead: what a GPU's
driver takes; on a CPU the program and its tokenizer. Total: of one memory, a GPU's or a CPU's; K and V that --kv-offload
moves are beside it.
--measure opens an engine in a process of its own for each context, lets --parallel sequences of random tokens come there,
and prints K and V as it counted them, what the process held at most, and what the GPU says is used.
Numbers may end in k, M, G (powers of 1024); bytes are shown in powers of 1000.
Exit codes: 0 done, 1 the machine failed, 2 a flag, file or checkpoint is wrong.)";

constexpr std::int64_t kMaxTokens = std::int64_t{1} << 28;

struct MemoryFlags {
  EngineOptions engine;
  std::vector<std::string> models;
  std::vector<std::string> dummies;
  std::vector<std::int64_t> contexts;
  std::optional<int> sequences;
  std::optional<std::string> fit;
  std::string plot;
  bool measure = false;
  bool csv = false;
  bool json = false;
};

void add_flags(CLI::App& app, MemoryFlags& memory) {
  Flags flags(app);
  flags.heading("Models (each flag may be given several times)");
  flags.texts("-m,--model", "DIR", memory.models, "folder of a model, in Hugging Face layout");
  flags.texts("--dummy", "CONFIG", memory.dummies, "a config.json, or a folder with one: a model that is not here");
  flags.heading("What is asked (lists: 4k,16k,128k)");
  flags.counts("--ctx", "TOKENS", memory.contexts, 1, kMaxTokens,
               "contexts (default: --ctx-size, or the one that the model was made for)");
  flags.text("--fit", "BYTES", memory.fit, "which context, and how many sequences of each --ctx, fit such as 24G");
  flags.flag("--measure", memory.measure, "run each context, and print what it took beside what was predicted");
  add_compute_flags(flags, memory.engine);
  add_memory_flags(flags, memory.engine, memory.sequences);
  flags.heading("Output");
  flags.flag("--csv", memory.csv, "comma-separated values, a line of names first");
  flags.flag("--json", memory.json, "a JSON array, one object a model");
  flags.text("--plot", "FILE", memory.plot, "also draw K and V over the contexts, as an SVG");
}

void check_flags(const MemoryFlags& flags) {
  if (flags.models.empty() && flags.dummies.empty()) throw std::runtime_error("--model or --dummy is expected");
  if (flags.csv && flags.json) throw std::runtime_error("--csv: not with --json");
}

std::string kv_type_name(const EngineOptions& options) {
  if (options.kv_cache_dtype != "auto") return options.kv_cache_dtype;
  return options.compute;
}

MemoryFit fit_of(const MemoryForecast& forecast, std::int64_t bytes, const MemoryAnswer& answer) {
  MemoryFit fit{.bytes = bytes,
                .sequences = answer.plans.front().sequences,
                .context = forecast.largest_context(bytes),
                .parallel = {}};
  if (fit.context == 0) {
    const MemoryPlan& least = answer.plans.front();
    throw std::runtime_error(
        fmt::format("--fit: no context of {} fits {}: weights take {}, activations {}, overhead {}", answer.name,
                    shown_bytes(static_cast<double>(bytes)), shown_bytes(static_cast<double>(least.weight_bytes)),
                    shown_bytes(static_cast<double>(least.activation_bytes)),
                    shown_bytes(static_cast<double>(least.overhead_bytes))));
  }
  for (const MemoryPlan& plan : answer.plans) {
    fit.parallel.emplace_back(plan.context, forecast.most_sequences(bytes, plan.context));
  }
  return fit;
}

MemoryAnswer answer_of(const MemoryFlags& flags, EngineOptions options, Notes& notes) {
  const MemoryForecast forecast(options);
  MemoryAnswer answer{.name = options.model.string(),
                      .family = forecast.family(),
                      .backend = forecast.backend(),
                      .kv_type = kv_type_name(options),
                      .plans = {},
                      .measured = {},
                      .fit = std::nullopt};
  std::vector<std::int64_t> contexts = flags.contexts;
  if (contexts.empty()) contexts.push_back(options.context > 0 ? options.context : forecast.model_context());
  for (const std::int64_t context : contexts) answer.plans.push_back(forecast.at(context));
  if (flags.fit) answer.fit = fit_of(forecast, parse_bytes("--fit", *flags.fit), answer);
  if (!flags.measure) return answer;
  for (const std::int64_t context : contexts) {
    notes.passing(fmt::format("{}: running {} tokens ...", answer.name, shown_count(context)));
    options.context = context;
    MeasuredMemory measured = measure_memory(options, context);
    measured.predicted_kv_bytes = options.max_sequences * forecast.kv(context, measured.kv.tokens).held_bytes;
    answer.measured.push_back(std::move(measured));
  }
  notes.clear_passing();
  return answer;
}

int run_memory(const MemoryFlags& flags) {
  check_flags(flags);
  OutputFile plot("--plot", flags.plot);
  Notes notes;
  std::vector<MemoryAnswer> answers;
  EngineOptions options = flags.engine;
  options.max_sequences = flags.sequences.value_or(1);
  for (const std::string& model : flags.models) {
    options.model = model;
    answers.push_back(answer_of(flags, options, notes));
  }
  options.dummy_weights = true;
  for (const std::string& config : flags.dummies) {
    options.model = config;
    answers.push_back(answer_of(flags, options, notes));
  }
  if (!flags.plot.empty()) plot.write(memory_svg(answers));
  Output().write(flags.json ? memory_json(answers) : flags.csv ? memory_csv(answers) : memory_text(answers));
  return done;
}

}  // namespace

Command add_memory(CLI::App& program) {
  CLI::App* app = add_command(program, "memory", "what a context costs, predicted and measured", kExamples);
  const auto flags = std::make_shared<MemoryFlags>();
  add_flags(*app, *flags);
  return {app, [flags] { return run_memory(*flags); }};
}

}  // namespace precis
