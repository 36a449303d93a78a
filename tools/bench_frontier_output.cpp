// The forms of what a walk has measured.
#include <fmt/format.h>

#include "bench_frontier.h"
#include "bench_output.h"
#include "line_plot.h"
#include "numbers.h"

namespace precis {

namespace {

using Json = nlohmann::ordered_json;

constexpr double giga = 1e9;
constexpr double thousand = 1e3;

std::string shown(std::int64_t bytes) {
  return shown_bytes(static_cast<double>(bytes));
}

CsvRow csv_row(const BenchReport& report, const FrontierResult& result) {
  const BenchResult& generation = result.generation;
  const Rates milliseconds = result.milliseconds();
  CsvRow row = csv_model(report);
  const CsvRow own = {
      {"context", fmt::to_string(result.context)},
      {"prefill_tokens", fmt::to_string(result.stretch)},
      {"prefill_seconds", csv_number(result.stretch_seconds)},
      {"prefill_tokens_per_second", csv_number(result.stretch_rate())},
      {"prefill_tokens_per_second_from_start", csv_number(result.rate())},
      {"prefill_gflops", csv_number(result.stretch_cost.flops / result.stretch_seconds / giga)},
      {"prefill_share_of_peak", csv_number(result.stretch_cost.flops / result.stretch_seconds / report.peak_flops())},
      {"generated_tokens", fmt::to_string(generation.test.tokens)},
      {"repetitions", fmt::to_string(generation.rates.samples.size())},
      {"ms_per_token", csv_number(milliseconds.median())},
      {"ms_per_token_min", csv_number(milliseconds.min())},
      {"ms_per_token_max", csv_number(milliseconds.max())},
      {"bytes_per_token", fmt::format("{:.0f}", generation.token_cost.bytes)},
      {"share_of_bandwidth", csv_number(generation.share_of_bandwidth())},
      {"kv_bytes", fmt::to_string(generation.kv_bytes)},
      {"kv_device_bytes", fmt::to_string(generation.kv_bytes - generation.kv_far_bytes)},
      {"kv_far_bytes", fmt::to_string(generation.kv_far_bytes)},
      {"full_attention_kv_bytes", fmt::to_string(result.full_bytes)},
      {"full_over_held", csv_number(result.full_over_held())},
      {"peak_memory_bytes", fmt::to_string(generation.peak_memory)}};
  const CsvRow machine = csv_machine(report);
  row.insert(row.end(), own.begin(), own.end());
  row.insert(row.end(), machine.begin(), machine.end());
  return row;
}

Json result_json(const BenchReport& report, const FrontierResult& result) {
  const BenchResult& generation = result.generation;
  const Rates milliseconds = result.milliseconds();
  const double flops = result.stretch_cost.flops / result.stretch_seconds;
  return {{"context", result.context},
          {"prefill",
           {{"tokens", result.stretch},
            {"seconds", result.stretch_seconds},
            {"tokens_per_second", result.stretch_rate()},
            {"tokens_per_second_from_start", result.rate()},
            {"gflops", flops / giga},
            {"share_of_peak", flops / report.peak_flops()}}},
          {"generation",
           {{"tokens", generation.test.tokens},
            {"ms_per_token",
             {{"median", milliseconds.median()},
              {"min", milliseconds.min()},
              {"max", milliseconds.max()},
              {"samples", milliseconds.samples}}},
            {"bytes_per_token", generation.token_cost.bytes},
            {"flops_per_token", generation.token_cost.flops},
            {"share_of_bandwidth", generation.share_of_bandwidth()},
            {"read_bandwidth_gbs", giga_of(generation.reads)}}},
          {"kv_bytes", generation.kv_bytes},
          {"kv_device_bytes", generation.kv_bytes - generation.kv_far_bytes},
          {"kv_far_bytes", generation.kv_far_bytes},
          {"full_attention_kv_bytes", result.full_bytes},
          {"full_over_held", result.full_over_held()},
          {"peak_memory_bytes", generation.peak_memory}};
}

}  // namespace

Rates FrontierResult::milliseconds() const {
  Rates times;
  for (const double rate : generation.rates.samples) times.samples.push_back(thousand / rate);
  return times;
}

double FrontierResult::milliseconds_to_read() const {
  return generation.token_cost.bytes / Rates{generation.reads}.median() * thousand;
}

std::string frontier_markdown_head() {
  return markdown_row({"context", "prefill since the row above, tokens/s", "from the start", "generation, ms a token",
                       "fastest to slowest", "of memory", "KV held", "full attention", "ratio", "peak memory"}) +
         markdown_row({"---:", "---:", "---:", "---:", "---:", "---:", "---:", "---:", "---:", "---:"});
}

std::string frontier_markdown_row(const FrontierResult& result) {
  const BenchResult& generation = result.generation;
  const Rates milliseconds = result.milliseconds();
  const auto rate = [](double value) { return fmt::format("{:.{}f}", value, value < 100 ? 1 : 0); };
  const auto time = [](double value) { return fmt::format("{:.{}f}", value, value < 1 ? 3 : value < 100 ? 2 : 1); };
  return markdown_row(
      {shown_tokens(result.context), rate(result.stretch_rate()), rate(result.rate()), time(milliseconds.median()),
       fmt::format("{} to {}", time(milliseconds.min()), time(milliseconds.max())),
       shown_share(generation.share_of_bandwidth()), shown_kv(generation.kv_bytes, generation.kv_far_bytes),
       shown(result.full_bytes), fmt::format("{:.2f}", result.full_over_held()), shown(generation.peak_memory)});
}

std::string frontier_markdown_foot(const BenchReport& report) {
  return fmt::format(
      "\n{}, {}, {}, weights {}. {} One text, read once; generation: median of {} repetition{}; \"of memory\": of what "
      "it "
      "gave right before and after each.\n",
      report.model.family, shown_parameters(report.model.parameters), report.device, shown(report.weight_bytes),
      shown_machine(report), report.repetitions, report.repetitions == 1 ? "" : "s");
}

std::string frontier_csv(const BenchReport& report, const std::vector<FrontierResult>& results) {
  std::vector<CsvRow> rows;
  for (const FrontierResult& result : results) rows.push_back(csv_row(report, result));
  return csv(rows);
}

std::string frontier_json(const BenchReport& report, const std::vector<FrontierResult>& results) {
  Json object = bench_json_head(report);
  Json rows = Json::array();
  for (const FrontierResult& result : results) rows.push_back(result_json(report, result));
  object["frontiers"] = std::move(rows);
  object["peak_memory_bytes"] = report.peak_memory;
  return json_line(object);
}

std::string frontier_svg(const BenchReport& report, const std::vector<FrontierResult>& results) {
  const std::filesystem::path& path = report.options.model;
  const std::string name = (path.has_filename() ? path : path.parent_path()).filename().string();
  LinePlot time;
  time.title = fmt::format("Generating a token: {}", name);
  time.subtitle = fmt::format("{}, {} parameters, {}", report.model.family, shown_parameters(report.model.parameters),
                              report.device);
  time.x_label = "context (tokens)";
  time.y_label = "milliseconds a token";
  LinePlot memory = time;
  memory.title = fmt::format("K and V held: {}", name);
  memory.y_label = "bytes";
  memory.y_unit = PlotUnit::bytes;
  PlotLine median{.name = "measured (median)", .points = {}};
  PlotLine reading{.name = "at memory's speed", .points = {}, .dashed = true, .colour = 4};
  PlotLine held{.name = "held", .points = {}};
  PlotLine near{.name = "of these, on the device", .points = {}, .dashed = false, .colour = 2};
  PlotLine full{.name = "with full attention", .points = {}, .dashed = true, .colour = 1};
  bool any_far = false;
  for (const FrontierResult& result : results) {
    const auto context = static_cast<double>(result.context);
    const BenchResult& generation = result.generation;
    median.points.emplace_back(context, result.milliseconds().median());
    reading.points.emplace_back(context, result.milliseconds_to_read());
    held.points.emplace_back(context, generation.kv_bytes);
    near.points.emplace_back(context, generation.kv_bytes - generation.kv_far_bytes);
    full.points.emplace_back(context, result.full_bytes);
    any_far = any_far || generation.kv_far_bytes > 0;
  }
  time.lines = {std::move(median), std::move(reading)};
  memory.lines = {std::move(held), std::move(full)};
  if (any_far) memory.lines.push_back(std::move(near));
  return svg({std::move(time), std::move(memory)});
}

}  // namespace precis
