#include "bench_frontier.h"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

#include "bench_machine.h"
#include "numbers.h"
#include "outcome.h"
#include "reading_progress.h"

namespace precis {

std::vector<std::int64_t> parse_frontiers(std::string_view flag, std::string_view text, std::int64_t high) {
  const auto refuse = [&] {
    throw std::runtime_error(
        fmt::format("{}: {} given, contexts that ascend, such as 1k..128k (doubled each time) or 1k,4k,32k, expected",
                    flag, shown_text(text)));
  };
  std::vector<std::int64_t> frontiers;
  const auto add = [&](std::int64_t frontier) {
    if (!frontiers.empty() && frontier <= frontiers.back()) refuse();
    frontiers.push_back(frontier);
  };
  for (std::size_t begin = 0; begin != std::string_view::npos;) {
    const std::size_t end = text.find(',', begin);
    const std::string_view part = text.substr(begin, end - begin);
    begin = end == std::string_view::npos ? end : end + 1;
    const std::size_t dots = part.find("..");
    const std::string_view first = part.substr(0, dots);
    const std::string_view last = dots == std::string_view::npos ? first : part.substr(dots + 2);
    if (first.empty() || last.empty()) refuse();
    const std::int64_t from = parse_count(flag, first, 1, high);
    const std::int64_t to = parse_count(flag, last, 1, high);
    if (from > to) refuse();
    for (std::int64_t frontier = from; frontier < to; frontier *= 2) add(frontier);
    add(to);
  }
  return frontiers;
}

namespace {

// The repetitions of what is generated behind one frontier.
void generate(BenchRunner& runner, Notes& notes, BenchReport& report, FrontierResult& result) {
  BenchResult& generation = result.generation;
  generation.reads.push_back(read_bandwidth_now(report));
  for (int repetition = 0; repetition < report.repetitions; ++repetition) {
    notes.passing(fmt::format("generating behind {} tokens: repetition {} of {} ...", shown_tokens(result.context),
                              repetition + 1, report.repetitions));
    const double rate = runner.generate(generation.test);
    note_peak(report);
    generation.peak_memory = report.peak_memory;
    generation.reads.push_back(read_bandwidth_now(report));
    generation.rates.samples.push_back(rate);
  }
}

}  // namespace

void walk_frontiers(const FrontierPlan& plan, BenchRunner& runner, Notes& notes, BenchReport& report,
                    const std::function<void(FrontierResult)>& add) {
  std::int64_t before = 0;
  double seconds = 0;
  for (const std::int64_t frontier : plan.frontiers) {
    const BenchRunner::Stretch stretch = runner.read_on(before, frontier, notes);
    seconds += stretch.seconds;
    FrontierResult result;
    result.context = frontier;
    result.stretch = frontier - before;
    result.stretch_seconds = stretch.seconds;
    result.seconds = seconds;
    result.stretch_cost = runner.prompt_cost(before, frontier);
    result.full_bytes = stretch.kv.full_bytes;
    BenchResult& generation = result.generation;
    generation.test = {.prompt = false, .tokens = plan.tokens, .depth = frontier, .sequences = 1};
    generation.token_cost = runner.token_cost(generation.test);
    generation.kv_bytes = stretch.kv.held_bytes;
    generation.kv_far_bytes = stretch.kv.far_bytes;
    try {
      generate(runner, notes, report, result);
    } catch (const RunFailure&) {
      if (!generation.rates.samples.empty()) add(std::move(result));
      throw;
    }
    add(std::move(result));
    before = frontier;
  }
}

}  // namespace precis
