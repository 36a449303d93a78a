// precis_ops_bench: how fast a backend's operations are. On a machine that others use too the best of many short calls
// is what tells most; the median says how far to trust it, and the least processor time of a call (of all threads,
// which wait for each other by polling) is what a call too long to run undisturbed takes.
#include <fmt/format.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>

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

// Seconds.
struct Times {
  std::vector<double> calls;  // ascending
  double least_processor;
};

double processor_time() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Times time_calls(const Work& work, double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr std::size_t fewest = 5;
  work.call();
  Times times = {{}, std::numeric_limits<double>::infinity()};
  const auto start = Clock::now();
  while (times.calls.size() < fewest || Clock::now() - start < std::chrono::duration<double>(seconds)) {
    const double processor_before = processor_time();
    const auto before = Clock::now();
    work.call();
    times.calls.push_back(std::chrono::duration<double>(Clock::now() - before).count());
    times.least_processor = std::min(times.least_processor, processor_time() - processor_before);
  }
  std::sort(times.calls.begin(), times.calls.end());
  return times;
}

void measure(const Options& options) {
  const std::unique_ptr<Device> device = open_backend(options.backend, {.threads = options.threads});
  fmt::print("{}\n{:<34} {:>7} {:>10} {:>10} {:>12} {:>6} {:>8}\n", device->description(), "case", "calls", "best us",
             "median us", "processor us", "GB/s", "GFLOP/s");
  for (const std::vector<Case>& cases : {machine_cases(), linear_cases(), attention_cases(), draw_cases()}) {
    for (const Case& one : cases) {
      if (one.name.find(options.filter) == std::string::npos) continue;
      const Work work = one.prepare(*device);
      const Times times = time_calls(work, options.seconds);
      const double best = times.calls.front();
      fmt::print("{:<34} {:>7} {:>10.1f} {:>10.1f} {:>12.1f} {:>6.1f} {:>8.1f}\n", one.name, times.calls.size(),
                 best * 1e6, times.calls[times.calls.size() / 2] * 1e6, times.least_processor * 1e6,
                 work.bytes / best / 1e9, work.flops / best / 1e9);
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
