// precis logits: the logits after every id, for comparison with another implementation.
#include <fmt/format.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "commands.h"
#include "engine_flags.h"
#include "input.h"
#include "numbers.h"
#include "outcome.h"
#include "precis/engine.h"
#include "precis/tensor_file.h"
#include "terminal.h"

namespace precis {

namespace {

constexpr const char* kExamples = R"(Examples:
  echo '[[1, 415, 301], [1, 88]]' > ids.json
  precis logits -m models/demo-ksa --ids ids.json -o logits.safetensors --compute f32

IDS is a list of lists of ids. The answer holds float32 tensors "0", "1", ... of shape [ids, vocabulary]: row i
belongs to the id that follows ids 0 to i. All of it is held in memory until it is written.
Exit codes: 0 done, 1 the machine failed, 2 a flag, file or checkpoint is wrong.)";

struct LogitsFlags {
  EngineOptions engine;
  std::string ids;
  std::filesystem::path output;
  bool decode = false;
};

using IdLists = std::vector<std::vector<std::int32_t>>;

IdLists checked_lists(const LogitsFlags& flags) {
  IdLists lists = read_id_lists("--ids", flags.ids);
  if (lists.empty()) throw std::runtime_error(fmt::format("--ids: {}: no list of ids in it", flags.ids));
  for (std::size_t at = 0; at < lists.size(); ++at) {
    if (lists[at].empty()) throw std::runtime_error(fmt::format("--ids: {}: [{}]: no ids in it", flags.ids, at));
  }
  return lists;
}

void check_output(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (!std::filesystem::is_directory(folder)) {
    throw std::runtime_error(fmt::format("--output: {}: no such folder", folder.string()));
  }
  // The file is written beside `path` and renamed over it: a device or a pipe would be replaced, not written to.
  if (std::filesystem::exists(path) && !std::filesystem::is_regular_file(path)) {
    throw std::runtime_error(fmt::format("--output: {}: is no regular file, a file is expected", path.string()));
  }
}

// Refuses what the machine's memory cannot hold: the answer stays in memory until it is written.
void check_size(const IdLists& lists, std::int64_t vocabulary) {
  std::size_t ids = 0;
  for (const auto& list : lists) ids += list.size();
  const double bytes = 4.0 * static_cast<double>(ids) * static_cast<double>(vocabulary);
  struct sysinfo machine {};
  ::sysinfo(&machine);
  const double memory = static_cast<double>(machine.totalram) * machine.mem_unit;
  if (bytes > 0.8 * memory) {
    throw std::runtime_error(
        fmt::format("--ids: {} ids make {} of logits, and this machine has {} of memory: cut the "
                    "lists",
                    shown_count(static_cast<std::int64_t>(ids)), shown_bytes(bytes), shown_bytes(memory)));
  }
}

FloatMatrix compute(Engine& engine, const std::vector<std::int32_t>& ids, std::string name) {
  FloatMatrix matrix{std::move(name), static_cast<std::int64_t>(ids.size()), engine.vocabulary(), {}};
  const auto width = static_cast<std::size_t>(matrix.columns);
  matrix.values.resize(ids.size() * width);
  Request request;
  request.ids = ids;
  request.all_logits = true;
  std::int64_t rows = 0;
  request.on_logits = [&](std::int64_t index, std::span<const float> logits) {
    if (index != rows || index >= matrix.rows || logits.size() != width) return;  // seen below as a missing row
    std::copy(logits.begin(), logits.end(), matrix.values.begin() + index * matrix.columns);
    ++rows;
  };
  Stream stream = engine.submit(std::move(request));
  TokenEvent event = stream.next();
  while (!event.end) event = stream.next();
  if (event.reason == EndReason::failed) throw RunFailure(event.error);
  if (rows != matrix.rows) {
    throw RunFailure(fmt::format("the engine gave {} rows of logits for {} ids", rows, matrix.rows));
  }
  return matrix;
}

int compute_logits(const LogitsFlags& flags) {
  check_output(flags.output);
  const IdLists lists = checked_lists(flags);
  EngineOptions options = flags.engine;
  if (flags.decode) options.piece = 1;
  options.prefix_cache = false;
  if (options.context == 0) {
    for (const auto& list : lists) options.context = std::max(options.context, static_cast<std::int64_t>(list.size()));
  }
  Engine engine(options);
  check_size(lists, engine.vocabulary());
  Notes notes;
  std::vector<FloatMatrix> matrices;
  for (const auto& list : lists) {
    notes.passing(fmt::format("list {} of {} ...", matrices.size() + 1, lists.size()));
    matrices.push_back(compute(engine, list, std::to_string(matrices.size())));
  }
  notes.clear_passing();
  try {
    write_matrices(flags.output, matrices);
  } catch (const std::runtime_error& error) {
    throw RunFailure(error.what());
  }
  return done;
}

}  // namespace

Command add_logits(CLI::App& program) {
  CLI::App* app =
      add_command(program, "logits", "the logits after every id, to hold against another program", kExamples);
  const auto target = std::make_shared<LogitsFlags>();
  Flags flags(*app);
  flags.heading("Flags");
  add_model_flag(flags, target->engine.model);
  flags.text("--ids", "FILE", target->ids, "JSON list of lists of ids, or - for standard input").required();
  flags.path("-o,--output", "FILE", target->output, "safetensors file to write").required();
  flags.flag("--decode", target->decode, "feed one id at a time");
  add_compute_flags(flags, target->engine);
  return {app, [target] { return compute_logits(*target); }};
}

}  // namespace precis
