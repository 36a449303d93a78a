#include "bench_result.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "bench_output.h"
#include "precis/units.h"

namespace precis {

namespace {

using Json = nlohmann::ordered_json;

constexpr double giga = 1e9;

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Name and value of every column of a result.
CsvRow csv_row(const BenchReport& report, const BenchResult& result) {
  const Rates& rates = result.rates;
  CsvRow row = csv_model(report);
  const CsvRow own = {{"test", result.test.test()},
                      {"depth", fmt::to_string(result.test.depth)},
                      {"parallel", fmt::to_string(result.test.sequences)},
                      {"repetitions", fmt::to_string(rates.samples.size())},
                      {"tokens_per_second", csv_number(rates.mean())},
                      {"stddev", csv_number(rates.deviation())},
                      {"min", csv_number(rates.min())},
                      {"median", csv_number(rates.median())},
                      {"max", csv_number(rates.max())},
                      {"bytes_per_token", fmt::format("{:.0f}", result.token_cost.bytes)},
                      {"gb_per_second", csv_number(result.bytes_per_second() / giga)},
                      {"share_of_bandwidth", csv_number(result.share_of_bandwidth())},
                      {"flops_per_token", fmt::format("{:.0f}", result.token_cost.flops)},
                      {"gflops", csv_number(result.flops_per_second() / giga)},
                      {"share_of_peak", csv_number(result.flops_per_second() / report.peak_flops())},
                      {"kv_bytes", fmt::to_string(result.kv_bytes)},
                      {"kv_device_bytes", fmt::to_string(result.kv_bytes - result.kv_far_bytes)},
                      {"kv_far_bytes", fmt::to_string(result.kv_far_bytes)},
                      {"peak_memory_bytes", fmt::to_string(result.peak_memory)}};
  const CsvRow machine = csv_machine(report);
  row.insert(row.end(), own.begin(), own.end());
  row.insert(row.end(), machine.begin(), machine.end());
  return row;
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
    text +=
        markdown_row({fmt::format("{} {}", report.model.family, shown_parameters(report.model.parameters)),
                      bytes(report.weight_bytes), report.device, result.test.name(),
                      fmt::format("{:.2f} ± {:.2f}", result.rates.mean(), result.rates.deviation()),
                      fmt::format("{:.2f}", result.bytes_per_second() / giga), shown_share(result.share_of_bandwidth()),
                      fmt::format("{:.1f}", result.flops_per_second() / giga),
                      shown_share(result.flops_per_second() / report.peak_flops()),
                      shown_kv(result.kv_bytes, result.kv_far_bytes), bytes(result.peak_memory)});
  }
  return text + fmt::format(
                    "\n{} Mean ± deviation of {} repetition{}; \"of memory\": of what it gave right before and after "
                    "each.\n",
                    shown_machine(report), report.repetitions, report.repetitions == 1 ? "" : "s");
}

std::string bench_csv(const BenchReport& report) {
  std::vector<CsvRow> rows;
  for (const BenchResult& result : report.results) rows.push_back(csv_row(report, result));
  return csv(rows);
}

std::string bench_json(const BenchReport& report) {
  Json object = bench_json_head(report);
  Json results = Json::array();
  for (const BenchResult& result : report.results) results.push_back(result_json(report, result));
  object["results"] = std::move(results);
  object["peak_memory_bytes"] = report.peak_memory;
  return json_line(object);
}

}  // namespace precis
