// precis_ops_bench: how fast a backend's operations are. On a machine that others use too the best of many short calls
// is what tells most; the median says how far to trust it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <exception>

#include "backend/factory.h"
#include "bench_case.h"

namespace precis::bench {
namespace {

struct Options {
  std::string backend = "auto";
  int threads = 0;
  std::string filter;
  double seconds = 1;
};

std::vector<double> time_calls(const Work& work, double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr std::size_t fewest = 5;
  work.call();
  std::vector<double> times;
  const auto start = Clock::now();
  while (times.size() < fewest || Clock::now() - start < std::chrono::duration<double>(seconds)) {
    const auto before = Clock::now();
    work.call();
    times.push_back(std::chrono::duration<double>(Clock::now() - before).count());
  }
  std::sort(times.begin(), times.end());
  return times;
}

void measure(const Options& options) {
  const std::unique_ptr<Device> device = open_backend(options.backend, {.threads = options.threads});
  fmt::print("{}\n{:<32} {:>8} {:>11} {:>11} {:>8} {:>9}\n", device->description(), "case", "calls", "best us",
             "median us", "GB/s", "GFLOP/s");
  for (const std::vector<Case>& cases : {attention_cases()}) {
    for (const Case& one : cases) {
      if (one.name.find(options.filter) == std::string::npos) continue;
      const Work work = one.prepare(*device);
      const std::vector<double> times = time_calls(work, options.seconds);
      fmt::print("{:<32} {:>8} {:>11.1f} {:>11.1f} {:>8.1f} {:>9.1f}\n", one.name, times.size(), times.front() * 1e6,
                 times[times.size() / 2] * 1e6, work.bytes / times.front() / 1e9, work.flops / times.front() / 1e9);
      std::fflush(stdout);
    }
  }
}

}  // namespace
}  // namespace precis::bench

int main(int argc, char** argv) {
  CLI::App app("How fast a backend's operations are: best and median of many calls.", "precis_ops_bench");
  precis::bench::Options options;
  app.add_option("--backend", options.backend, "auto, cpu or reference")->capture_default_str();
  app.add_option("--threads", options.threads, "0: one a physical core")->capture_default_str();
  app.add_option("--filter", options.filter, "only cases with this in their name");
  app.add_option("--seconds", options.seconds, "a case")->capture_default_str();
  try {
    app.parse(argc, argv);
    precis::bench::measure(options);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "precis_ops_bench: {}\n", error.what());
    return 2;
  }
}
