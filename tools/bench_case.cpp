#include "bench_case.h"

#include <fmt/format.h>

#include <stdexcept>

namespace precis {

std::string BenchCase::test() const {
  return fmt::format("{}{}", prompt ? "pp" : "tg", tokens);
}

std::string BenchCase::name() const {
  std::string name = test();
  if (depth > 0) name += fmt::format(" @ d{}", depth);
  if (sequences > 1) name += fmt::format(" x {}", sequences);
  return name;
}

std::vector<BenchCase> bench_cases(const BenchLists& lists) {
  std::vector<BenchCase> cases;
  for (const std::int64_t depth : lists.depths) {
    for (const std::int64_t tokens : lists.prompts) {
      if (tokens > 0) cases.push_back({.prompt = true, .tokens = tokens, .depth = depth, .sequences = 1});
    }
    for (const std::int64_t tokens : lists.answers) {
      if (tokens == 0) continue;
      for (const std::int64_t sequences : lists.sequences) {
        cases.push_back({.prompt = false, .tokens = tokens, .depth = depth, .sequences = sequences});
      }
    }
  }
  if (cases.empty()) throw std::runtime_error("--prompt and --predict are both 0: there is nothing to measure");
  return cases;
}

}  // namespace precis
