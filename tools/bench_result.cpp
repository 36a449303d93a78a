#include "bench_result.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "numbers.h"

namespace precis {

namespace {

using Json = nlohmann::ordered_json;
using Row = std::vector<std::string>;

constexpr double giga = 1e9;

std::string shown_parameters(std::int64_t count) {
  const auto value = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.2f} B", value / giga);
  return fmt::format("{:.1f} M", value / 1e6);
}

std::string shown_share(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Json giga_of(const std::vector<double>& values) {
  Json shown = Json::array();
  for (const double value : values) shown.push_back(value / giga);
  return shown;
}

std::string markdown_row(const Row& cells) {
  return fmt::format("| {} |\n", fmt::join(cells, " | "));
}

// A field of a CSV file: quoted where a comma or a quote would split it.
std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\n\r") == std::string::npos) return field;
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

std::string shown_kv(const BenchResult& result) {
  const auto shown = [](std::int64_t bytes) { return shown_bytes(static_cast<double>(bytes)); };
  if (result.kv_far_bytes == 0) return shown(result.kv_bytes);
  return fmt::format("{} (device {}, far {})", shown(result.kv_bytes), shown(result.kv_bytes - result.kv_far_bytes),
                     shown(result.kv_far_bytes));
}

// Name and value of every column of a result.
std::vector<std::pair<std::string, std::string>> csv_columns(const BenchReport& report, const BenchResult& result) {
  const Rates& rates = result.rates;
  return {{"model", quoted(report.options.model.string())},
          {"dummy", report.options.dummy_weights ? "1" : "0"},
          {"family", report.model.family},
          {"parameters", fmt::to_string(report.model.parameters)},
          {"weight_bytes", fmt::to_string(report.weight_bytes)},
          {"device", quoted(report.device)},
          {"compute", report.options.compute},
          {"piece", fmt::to_string(report.options.piece)},
          {"test", result.test.test()},
          {"depth", fmt::to_string(result.test.depth)},
          {"parallel", fmt::to_string(result.test.sequences)},
          {"repetitions", fmt::to_string(rates.samples.size())},
          {"tokens_per_second", fmt::format("{:.6g}", rates.mean())},
          {"stddev", fmt::format("{:.6g}", rates.deviation())},
          {"min", fmt::format("{:.6g}", rates.min())},
          {"median", fmt::format("{:.6g}", rates.median())},
          {"max", fmt::format("{:.6g}", rates.max())},
          {"bytes_per_token", fmt::format("{:.0f}", result.token_cost.bytes)},
          {"gb_per_second", fmt::format("{:.6g}", result.bytes_per_second() / giga)},
          {"share_of_bandwidth", fmt::format("{:.6g}", result.share_of_bandwidth())},
          {"flops_per_token", fmt::format("{:.0f}", result.token_cost.flops)},
          {"gflops", fmt::format("{:.6g}", result.flops_per_second() / giga)},
          {"share_of_peak", fmt::format("{:.6g}", result.flops_per_second() / report.peak_flops())},
          {"kv_bytes", fmt::to_string(result.kv_bytes)},
          {"kv_device_bytes", fmt::to_string(result.kv_bytes - result.kv_far_bytes)},
          {"kv_far_bytes", fmt::to_string(result.kv_far_bytes)},
          {"peak_memory_bytes", fmt::to_string(result.peak_memory)},
          {"read_bandwidth_gbs_before", fmt::format("{:.6g}", report.before.read_bandwidth / giga)},
          {"read_bandwidth_gbs_after", fmt::format("{:.6g}", report.after.read_bandwidth / giga)},
          {"peak_gflops", fmt::format("{:.6g}", report.peak_flops() / giga)}};
}

Json result_json(const BenchReport& report, const BenchResult& result) {
  const Rates& rates = result.rates;
  return {{"test", result.test.test()},
          {"depth", result.test.depth},
          {"parallel", result.test.sequences},
          {"tokens_per_second",
           {{"mean", rates.mean()},
            {"stddev", rates.deviation()},
            {"min", rates.min()},
            {"median", rates.median()},
            {"max", rates.max()},
            {"samples", rates.samples}}},
          {"bytes_per_token", result.token_cost.bytes},
          {"gb_per_second", result.bytes_per_second() / giga},
          {"share_of_bandwidth", result.share_of_bandwidth()},
          {"read_bandwidth_gbs", giga_of(result.reads)},
          {"flops_per_token", result.token_cost.flops},
          {"gflops", result.flops_per_second() / giga},
          {"share_of_peak", result.flops_per_second() / report.peak_flops()},
          {"kv_bytes", result.kv_bytes},
          {"kv_device_bytes", result.kv_bytes - result.kv_far_bytes},
          {"kv_far_bytes", result.kv_far_bytes},
          {"peak_memory_bytes", result.peak_memory}};
}

}  // namespace

double Rates::mean() const {
  return std::accumulate(samples.begin(), samples.end(), 0.0) / static_cast<double>(samples.size());
}

double Rates::deviation() const {
  if (samples.size() < 2) return 0;
  const double middle = mean();
  double squares = 0;
  for (const double sample : samples) squares += (sample - middle) * (sample - middle);
  return std::sqrt(squares / static_cast<double>(samples.size() - 1));
}

double Rates::min() const {
  return *std::min_element(samples.begin(), samples.end());
}

double Rates::median() const {
  return median_of(samples);
}

double Rates::max() const {
  return *std::max_element(samples.begin(), samples.end());
}

double BenchResult::share_of_bandwidth() const {
  std::vector<double> shares;
  for (std::size_t i = 0; i < rates.samples.size(); ++i) {
    shares.push_back(rates.samples[i] * token_cost.bytes / ((reads.at(i) + reads.at(i + 1)) / 2));
  }
  return median_of(std::move(shares));
}

double BenchReport::peak_flops() const {
  return std::max(before.peak_flops, after.peak_flops);
}

std::string bench_markdown(const BenchReport& report) {
  std::string text = markdown_row({"model", "size", "backend", "test", "tokens/s", "GB/s", "of memory", "GFLOP/s",
                                   "of peak", "KV held", "peak memory"});
  text += markdown_row({"---", "---:", "---", "---:", "---:", "---:", "---:", "---:", "---:", "---:", "---:"});
  const auto bytes = [](std::int64_t count) { return shown_bytes(static_cast<double>(count)); };
  for (const BenchResult& result : report.results) {
    text += markdown_row(
        {fmt::format("{} {}", report.model.family, shown_parameters(report.model.parameters)),
         bytes(report.weight_bytes), report.device, result.test.name(),
         fmt::format("{:.2f} ± {:.2f}", result.rates.mean(), result.rates.deviation()),
         fmt::format("{:.2f}", result.bytes_per_second() / giga), shown_share(result.share_of_bandwidth()),
         fmt::format("{:.1f}", result.flops_per_second() / giga),
         shown_share(result.flops_per_second() / report.peak_flops()), shown_kv(result), bytes(result.peak_memory)});
  }
  return text +
         fmt::format(
             "\n{}{}: at best, memory is read at {:.1f} GB/s (before) and {:.1f} GB/s (after), and multiply-adds "
             "reach {:.1f} and {:.1f} GFLOP/s. Mean ± deviation of {} repetition{}; \"of memory\": of what it gave "
             "right before and after each.\n",
             report.options.model.string(), report.options.dummy_weights ? ", random weights" : "",
             report.before.read_bandwidth / giga, report.after.read_bandwidth / giga, report.before.peak_flops / giga,
             report.after.peak_flops / giga, report.repetitions, report.repetitions == 1 ? "" : "s");
}

std::string bench_csv(const BenchReport& report) {
  std::string text;
  for (const BenchResult& result : report.results) {
    Row names;
    Row values;
    for (auto& [name, value] : csv_columns(report, result)) {
      names.push_back(name);
      values.push_back(value);
    }
    if (text.empty()) text = fmt::format("{}\n", fmt::join(names, ","));
    text += fmt::format("{}\n", fmt::join(values, ","));
  }
  return text;
}

std::string bench_json(const BenchReport& report) {
  Json results = Json::array();
  for (const BenchResult& result : report.results) results.push_back(result_json(report, result));
  const Json object = {
      {"model", report.options.model.string()},
      {"dummy", report.options.dummy_weights},
      {"family", report.model.family},
      {"parameters", report.model.parameters},
      {"weight_bytes", report.weight_bytes},
      {"device", report.device},
      {"compute", report.options.compute},
      {"kv_cache_dtype", report.options.kv_cache_dtype},
      {"deterministic", report.options.deterministic},
      {"piece", report.options.piece},
      {"read_bandwidth_gbs",
       {{"before", report.before.read_bandwidth / giga}, {"after", report.after.read_bandwidth / giga}}},
      {"peak_gflops", report.peak_flops() / giga},
      {"peak_gflops_measured",
       {{"before", report.before.peak_flops / giga}, {"after", report.after.peak_flops / giga}}},
      {"results", std::move(results)},
      {"peak_memory_bytes", report.peak_memory}};
  return object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace precis
