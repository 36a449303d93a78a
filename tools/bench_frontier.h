// `precis bench --frontier`: one text is read ever further, and at each frontier a few tokens are generated behind it.
// What a context costs, measured in one walk.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bench_result.h"
#include "bench_runner.h"
#include "terminal.h"

namespace precis {

// "1k..128k": 1k, 2k, 4k and so on, both ends included; "1k,4k,32k"; or both, "1k..8k,12k". Ascending, each in [1,
// high]. Throws std::runtime_error with one line that names `flag`.
std::vector<std::int64_t> parse_frontiers(std::string_view flag, std::string_view text, std::int64_t high);

struct FrontierResult {
  std::int64_t context = 0;     // tokens read so far
  std::int64_t stretch = 0;     // of these, since the frontier before
  double stretch_seconds = 0;   // that these took
  double seconds = 0;           // that all took
  StepCost stretch_cost;        // of all tokens of the stretch
  std::int64_t full_bytes = 0;  // of K and V, had every layer full attention
  // Of tokens that follow. Its K and V are those that the context holds before them.
  BenchResult generation;

  double stretch_rate() const { return static_cast<double>(stretch) / stretch_seconds; }  // tokens a second
  double rate() const { return static_cast<double>(context) / seconds; }
  double full_over_held() const { return static_cast<double>(full_bytes) / static_cast<double>(generation.kv_bytes); }
  Rates milliseconds() const;           // a generated token
  double milliseconds_to_read() const;  // what it must read, at the speed that memory gave meanwhile
};

// Lines of a markdown table: names, a row as soon as it is measured, and what stands below.
std::string frontier_markdown_head();
std::string frontier_markdown_row(const FrontierResult& result);
std::string frontier_markdown_foot(const BenchReport& report);
std::string frontier_csv(const BenchReport& report, const std::vector<FrontierResult>& results);
std::string frontier_json(const BenchReport& report, const std::vector<FrontierResult>& results);
// Milliseconds a token, and K and V, over the context.
std::string frontier_svg(const BenchReport& report, const std::vector<FrontierResult>& results);

struct FrontierPlan {
  std::vector<std::int64_t> frontiers;  // ascending
  std::int64_t tokens = 0;              // generated behind each, at least 1

  // Tokens of a sequence that the engine must allow: see BenchCase::context().
  std::int64_t context() const { return frontiers.back() + tokens + 2; }
};

// Measures; `add` gets each frontier's result once all its repetitions are done. When something fails or is interrupted
// it throws RunFailure, after `add` got what the last frontier has.
void walk_frontiers(const FrontierPlan& plan, BenchRunner& runner, Notes& notes, BenchReport& report,
                    const std::function<void(FrontierResult)>& add);

}  // namespace precis
